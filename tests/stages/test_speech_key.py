"""What names the folder of speech, and what does not."""

from typing import Any

import pytest

from duplexgen.pipeline.dataset import statistics
from duplexgen.pipeline.making.stage import stage_key
from duplexgen.pipeline.speech import engines, section
from duplexgen.pipeline.speech.section import Speech
from duplexgen.pipeline.stages.speech import SpeechStage

PLAIN: dict[str, Any] = {"engine": "replay", "assistant_voice": "assistant"}
GATED = PLAIN | {"gate": {"max_silence_s": 1.0}}


def key(speech: dict[str, Any], seed: int = 1, kind: type[Speech] = Speech) -> str:
    return stage_key(SpeechStage(kind.model_validate(speech), seed), "what came before")


class LaterGate(section.Gate):
    min_loudness_lufs: float | None = None


class LaterSpeech(Speech):
    """As a later version may have it: with keys and sections that nobody has set."""

    rate: float = 1.0
    styles: tuple[str, ...] = ()
    other_engine: section.CosyVoice | None = None
    gate: LaterGate | None = None


@pytest.mark.parametrize("speech", [PLAIN, GATED])
def test_what_is_not_used_does_not_name_the_speech_anew(speech: dict[str, Any]) -> None:
    assert key(speech, kind=LaterSpeech) == key(speech)
    assert key(speech | {"renditions": 1, "max_attempts": 3, "cosyvoice": None}) == key(speech)
    assert key(speech | {"rate": 1.1}, kind=LaterSpeech) != key(speech)


def test_how_figures_are_drawn_does_not_name_the_speech_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    before = key(GATED)
    for table in (statistics.QUALITIES, statistics.ALL):
        for name, one in statistics.QUALITIES.items():
            monkeypatch.setitem(table, name, statistics.Quantity(one.title, one.unit, one.low, one.high + 1, 7))
    assert key(GATED) == before


def test_what_shapes_speech_names_it_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    changed = [
        key(PLAIN),
        key(PLAIN, seed=2),
        key(PLAIN | {"assistant_voice": "user_00"}),
        key(PLAIN | {"user_voices": ["user_01"]}),
        key(PLAIN | {"loudness_lufs": -20.0}),
        key(PLAIN | {"max_attempts": 2}),
        key(GATED),
        key(PLAIN | {"gate": {"max_silence_s": 1.5}}),
    ]
    monkeypatch.setattr(engines.ENGINES["replay"], "fingerprint", lambda *_: {"replay": "2"})
    changed.append(key(PLAIN))
    monkeypatch.setattr(SpeechStage, "version", SpeechStage.version + 1)
    changed.append(key(PLAIN))
    assert len(set(changed)) == len(changed)
