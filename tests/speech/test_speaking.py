from collections.abc import Sequence
from typing import ClassVar

import pytest

from duplexgen.pipeline.audio.level import loudness_lufs
from duplexgen.pipeline.dialogue import Dialogue, Rejection, SpokenDialogue, Turn
from duplexgen.pipeline.errors import DialogueRejected
from duplexgen.pipeline.speech import engines as speech
from duplexgen.pipeline.speech.engine import RawSpeech, SpeechRequest
from duplexgen.pipeline.speech.kokoro import Kokoro
from duplexgen.pipeline.speech.section import Speech
from duplexgen.pipeline.speech.speaking import speak_all, user_voices

USERS = ["am_michael", "bf_emma", "af_sky"]
HELLO = Dialogue("greeting", "test", "en", (Turn("user", "Hello there."), Turn("assistant", "Good morning.")))


def spec(**changes: object) -> Speech:
    return Speech.model_validate({"assistant_voice": "af_heart", "user_voices": USERS} | changes)


def dialogue(name: str, *texts: str) -> Dialogue:
    turns = tuple(Turn("assistant" if index % 2 else "user", text) for index, text in enumerate(texts))
    return Dialogue(name, "test", "en", turns)


def speak_renditions(engine: Kokoro, dialogue: Dialogue, spec: Speech, seed: int) -> list[SpokenDialogue | Rejection]:
    (results,) = speak_all(engine, [dialogue], spec, seed)
    return results


class Counting(Kokoro):
    """Kokoro that notes what it is asked; what it has said once it remembers, so that tests are quick."""

    said: ClassVar[dict[tuple[str, str], RawSpeech | DialogueRejected]] = {}

    def __init__(self, kokoro: Kokoro) -> None:
        self.kokoro = kokoro
        self.asked: list[SpeechRequest] = []

    def speak(self, requests: Sequence[SpeechRequest]) -> list[RawSpeech | DialogueRejected]:
        self.asked += requests
        for request in requests:
            if (request.text, request.voice) not in self.said:
                (self.said[request.text, request.voice],) = self.kokoro.speak([request])
        return [self.said[request.text, request.voice] for request in requests]


class Unsteady(Counting):
    """Kokoro that stops short the first times it is asked for a text, as sampled engines do at times."""

    uses_seed: ClassVar[bool] = True
    times_words: ClassVar[bool] = False
    failures = 2

    def speak(self, requests: Sequence[SpeechRequest]) -> list[RawSpeech | DialogueRejected]:
        before = [sum(request.text == asked.text for asked in self.asked) for request in requests]
        return [
            RawSpeech(result.waveform[: len(result.waveform) // 5])
            if isinstance(result, RawSpeech) and earlier < self.failures
            else result
            for result, earlier in zip(super().speak(requests), before, strict=True)
        ]


@pytest.fixture(scope="module")
def renditions(kokoro: Kokoro) -> tuple[Counting, list[SpokenDialogue | Rejection]]:
    engine = Counting(kokoro)
    return engine, speak_renditions(engine, HELLO, spec(renditions=3), seed=0)


def test_renditions_have_different_users_and_one_assistant(
    renditions: tuple[Counting, list[SpokenDialogue | Rejection]],
) -> None:
    engine, results = renditions
    spoken = [result for result in results if isinstance(result, SpokenDialogue)]
    assert [result.id for result in spoken] == ["greeting", "greeting#1", "greeting#2"]
    assert sorted(result.utterances[0].voice for result in spoken) == sorted(USERS)
    assert len({result.utterances[0].waveform.tobytes() for result in spoken}) == 3
    assert {result.utterances[1].voice for result in spoken} == {"af_heart"}
    assert len({result.utterances[1].waveform.tobytes() for result in spoken}) == 1
    assert len(engine.asked) == 4  # three users, and the assistant once


def test_utterances_are_levelled_speech_of_the_turns(
    renditions: tuple[Counting, list[SpokenDialogue | Rejection]],
) -> None:
    for result in renditions[1]:
        assert isinstance(result, SpokenDialogue)
        assert [(one.role, one.text) for one in result.utterances] == [(turn.role, turn.text) for turn in HELLO.turns]
        for utterance in result.utterances:
            assert utterance.sample_rate == 24000
            assert loudness_lufs(utterance.waveform, 24000) == pytest.approx(-23.0, abs=0.01)


def test_more_renditions_leave_the_first_as_it_was(
    kokoro: Kokoro, renditions: tuple[Counting, list[SpokenDialogue | Rejection]]
) -> None:
    (alone,) = speak_renditions(Counting(kokoro), HELLO, spec(), seed=0)
    first = renditions[1][0]
    assert isinstance(alone, SpokenDialogue)
    assert isinstance(first, SpokenDialogue)
    assert [one.waveform.tobytes() for one in alone.utterances] == [one.waveform.tobytes() for one in first.utterances]


def test_one_voice_a_role(kokoro: Kokoro) -> None:
    (result,) = speak_renditions(kokoro, dialogue("d", "Hi.", "Yes?", "Bye.", "Bye."), spec(), seed=3)
    assert isinstance(result, SpokenDialogue)
    voices = [utterance.voice for utterance in result.utterances]
    assert voices == [voices[0], "af_heart"] * 2
    assert voices[0] in USERS


def test_what_cannot_be_spoken_rejects_every_rendition(kokoro: Kokoro) -> None:
    results = speak_renditions(kokoro, dialogue("d", "Hi.", "It is 5%."), spec(renditions=2), seed=0)
    assert [(r.dialogue_id, r.stage, r.reason) for r in results if isinstance(r, Rejection)] == [
        ("d", "speech", "unspeakable"),
        ("d#1", "speech", "unspeakable"),
    ]


def test_a_language_without_voices_is_rejected_in_every_rendition(kokoro: Kokoro) -> None:
    chinese = Dialogue("d", "test", "zh", (Turn("user", "你好。"), Turn("assistant", "你好。")))
    results = speak_renditions(kokoro, chinese, spec(renditions=2), seed=0)
    assert [(r.dialogue_id, r.reason) for r in results if isinstance(r, Rejection)] == [
        ("d", "language_not_spoken"),
        ("d#1", "language_not_spoken"),
    ]


def test_babble_is_rejected_at_once_by_an_engine_that_would_repeat_itself(kokoro: Kokoro) -> None:
    engine = Counting(kokoro)
    (result,) = speak_renditions(engine, dialogue("d", "Hahahahahahahahaha", "Yes."), spec(), seed=0)
    assert isinstance(result, Rejection)
    assert result.reason == "speech_failed"
    assert "turn 0" in result.detail
    assert "expected 0.54 to 3.54 s" in result.detail
    assert len(engine.asked) == 2


def test_a_failed_utterance_is_tried_again_with_another_seed(kokoro: Kokoro) -> None:
    engine = Unsteady(kokoro)
    (result,) = speak_renditions(engine, HELLO, spec(max_attempts=3), seed=0)
    assert isinstance(result, SpokenDialogue)
    assert len(engine.asked) == 6
    assert len({request.seed for request in engine.asked}) == 6


def test_attempts_end(kokoro: Kokoro) -> None:
    engine = Unsteady(kokoro)
    (result,) = speak_renditions(engine, HELLO, spec(max_attempts=2), seed=0)
    assert isinstance(result, Rejection)
    assert result.reason == "speech_failed"
    assert "after 2 attempts" in result.detail
    assert len(engine.asked) == 4


@pytest.mark.parametrize(
    ("changes", "languages", "expected"),
    [
        ({"engine": "kokro"}, {"en"}, [(("speech", "engine"), "got 'kokro'")]),
        ({}, {"en", "fr"}, [(("speech", "engine"), "kokoro does not speak 'fr', only en, zh")]),
        (
            {"user_voices": "all"},
            {"zh"},
            [(("speech", "assistant_voice"), "'af_heart' does not speak zh; these do: zf_")],
        ),
        ({"user_voices": "all"}, {"en", "zh"}, [(("speech", "assistant_voice"), "'af_heart' does not speak zh")]),
        (
            {"assistant_voice": "zf_xiaoxiao", "user_voices": ["zm_yunxi", "af_sky"]},
            {"zh"},
            [(("speech", "user_voices", 1), "'af_sky' does not speak zh; these do: zf_")],
        ),
        ({"assistant_voice": "af_hart"}, {"en"}, [(("speech", "assistant_voice"), "did you mean af_heart")]),
        ({"assistant_voice": "jf_alpha"}, {"en"}, [(("speech", "assistant_voice"), "does not speak en")]),
        ({"user_voices": ["af_sky", "af_heart"]}, {"en"}, [(("speech", "user_voices", 1), "is the assistant's")]),
        ({"user_voices": ["af_sky", "af_sky"]}, {"en"}, [(("speech", "user_voices", 1), "is listed twice")]),
        ({"renditions": 4}, {"en"}, [(("speech", "renditions"), "user voices for en, 3, got 4")]),
        ({"renditions": 1000, "user_voices": "all"}, {"en"}, [(("speech", "renditions"), "got 1000")]),
        ({"renditions": 7, "user_voices": "held_out"}, {"en"}, [(("speech", "renditions"), "for en, 6, got 7")]),
        (
            {"assistant_voice": "x", "user_voices": ["y", "af_sky"]},
            {"en"},
            [(("speech", "assistant_voice"), "no voice 'x'"), (("speech", "user_voices", 0), "no voice 'y'")],
        ),
    ],
)
def test_mistakes_in_a_recipe(
    changes: dict[str, object], languages: set[str], expected: list[tuple[tuple[str | int, ...], str]]
) -> None:
    found = speech.check(spec(**changes), frozenset(languages))
    assert [location for location, _ in found] == [location for location, _ in expected]
    for (_, message), (_, part) in zip(found, expected, strict=True):
        assert part in message


def test_all_means_the_training_voices_but_the_assistants() -> None:
    assert speech.check(spec(user_voices="all"), frozenset({"en"})) == []
    pool = user_voices(Kokoro(), spec(user_voices="all"), "en")
    voices = Kokoro.voices()
    assert len(pool) >= 24
    assert "af_heart" not in pool
    assert {voices[name].split for name in pool} == {"train"}
    chinese = user_voices(Kokoro(), spec(user_voices="all", assistant_voice="zf_xiaoxiao"), "zh")
    assert len(chinese) >= 4 and not {*chinese} & {*pool, "zf_xiaoxiao"}
    assert user_voices(Kokoro(), spec(user_voices="all"), "fr") == []


def test_held_out_voices_are_those_that_all_never_draws() -> None:
    assert speech.check(spec(user_voices="held_out", renditions=6), frozenset({"en"})) == []
    kept, drawn = (user_voices(Kokoro(), spec(user_voices=choice), "en") for choice in ("held_out", "all"))
    voices = Kokoro.voices()
    assert {voices[name].split for name in kept} == {"eval"}
    assert len(kept) == 6
    assert not {*kept} & {*drawn, "af_heart"}
    chinese = user_voices(Kokoro(), spec(user_voices="held_out"), "zh")
    assert {voices[name].split for name in chinese} == {"eval"} and {voices[name].sex for name in chinese} == {
        "female",
        "male",
    }
