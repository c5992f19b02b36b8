import numpy as np
import pytest

from duplexgen.pipeline.dialogue import Waveform
from duplexgen.pipeline.errors import DialogueRejected
from duplexgen.pipeline.measures.embedding import SpeakerEmbedding
from duplexgen.pipeline.speech import bank
from duplexgen.pipeline.speech.kokoro import Kokoro

pytest.importorskip(
    "resemblyzer", reason="pip install --no-deps Resemblyzer==0.1.4, which the extra `voices` goes with"
)

TEXT = "Which of these two books would you give to a child?"


@pytest.fixture(scope="module")
def speaker() -> SpeakerEmbedding:
    return SpeakerEmbedding()


def test_two_sentences_of_a_voice_are_nearer_than_one_of_two_voices(
    speaker: SpeakerEmbedding, kokoro: Kokoro, spoken: Waveform
) -> None:
    michael = speaker.embed(spoken, 24000)
    again = speaker.embed(kokoro.synthesize(TEXT, bank.style("am_michael")).waveform, 24000)
    other = speaker.embed(kokoro.synthesize(TEXT, bank.style("af_heart")).waveform, 24000)
    assert michael @ again > michael @ other + 0.1
    assert michael @ again > again @ other + 0.1


def test_an_embedding_is_of_length_one_and_does_not_depend_on_the_level(
    speaker: SpeakerEmbedding, spoken: Waveform
) -> None:
    embedding = speaker.embed(spoken, 24000)
    assert embedding.shape == (256,)
    assert embedding.dtype == np.float32
    assert np.linalg.norm(embedding) == pytest.approx(1.0, abs=1e-5)
    assert embedding @ speaker.embed(spoken * np.float32(0.01), 24000) > 0.999
    assert np.array_equal(embedding, speaker.embed(spoken, 24000))


@pytest.mark.parametrize("samples", [np.zeros(0), np.zeros(32000)])
def test_what_is_no_voice_has_none(speaker: SpeakerEmbedding, samples: Waveform) -> None:
    with pytest.raises(DialogueRejected, match="no_voice"):
        speaker.embed(samples.astype(np.float32), 16000)
