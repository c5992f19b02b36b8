"""Dialogues as text to dialogues as speech: casts voices, tries bad speech again, rejects what cannot be spoken."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches

import numpy as np

from ..audio.level import level
from ..audio.trim import speech_span, words_within
from ..dialogue import BYSTANDER, Dialogue, Rejection, SpokenDialogue, Turn, Utterance, Waveform, Word
from ..errors import DialogueRejected
from ..randomness import generator
from ..recipe.file import Location, Problem
from .engine import RawSpeech, SpeechEngine, SpeechRequest
from .gate import Gate
from .gate.gate import GateInput
from .guard import BadSpeechError, check_duration, check_raw
from .section import Speech

Key = tuple[int, int, str]  # dialogue, turn, voice
SHOWN_VOICES = 6  # in a message


@dataclass(frozen=True, slots=True)
class FinishedSpeech:
    """Speech of one turn in one voice, trimmed and levelled."""

    waveform: Waveform  # f32 [samples]
    words: tuple[Word, ...] | None  # in samples of the waveform; None: their times are not known
    quality: Mapping[str, float] | None = None  # figures of the gate; None: there is no gate


Spoken = FinishedSpeech | DialogueRejected


def user_voices(engine: SpeechEngine, spec: Speech, language: str) -> list[str]:
    """The voices a user of this language may have, sorted: those named, or every one of a split.

    `all` draws from the training split alone, `held_out` from the evaluation split alone.
    """
    voices = engine.voices()
    if isinstance(spec.user_voices, list):
        return sorted(name for name in spec.user_voices if language in voices[name].languages)
    split = "train" if spec.user_voices == "all" else "eval"
    candidates = (voice for voice in voices.values() if voice.split == split and language in voice.languages)
    return sorted(voice.name for voice in candidates if voice.name != spec.assistant_voice)


def check(engine: SpeechEngine, spec: Speech, languages: frozenset[str]) -> list[Problem]:
    """Problems of a recipe's speech section: what this engine cannot do for sources in these languages."""
    mistakes: list[Problem] = []
    voices = engine.voices()
    for language in sorted(languages - engine.languages):
        spoken = ", ".join(sorted(engine.languages))
        mistakes.append((("speech", "engine"), f"{engine.name} does not speak {language!r}, only {spoken}"))
    languages &= engine.languages
    names: list[tuple[Location, str]] = [(("speech", "assistant_voice"), spec.assistant_voice)]
    if isinstance(spec.user_voices, list):
        names += [(("speech", "user_voices", index), name) for index, name in enumerate(spec.user_voices)]
    for location, name in names:
        if name not in voices:
            mistakes.append((location, f"{engine.name} has no voice {name!r}{_suggestion(name, voices)}"))
        elif unspoken := sorted(languages - set(voices[name].languages)):
            others = [voice.name for voice in voices.values() if languages <= set(voice.languages) and voice.split]
            known = f"; these do: {', '.join(others[:SHOWN_VOICES])}" if others else ""
            mistakes.append((location, f"voice {name!r} does not speak {', '.join(unspoken)}{known}"))
        elif location[1] == "user_voices" and name == spec.assistant_voice:
            mistakes.append((location, f"voice {name!r} is the assistant's; a user needs another"))
        elif location[1] == "user_voices" and spec.user_voices.index(name) != location[2]:
            mistakes.append((location, f"voice {name!r} is listed twice"))
    if mistakes:
        return mistakes
    for language in sorted(languages):
        if (count := len(user_voices(engine, spec, language))) < spec.renditions:
            expected = f"expected at most the number of user voices for {language}, {count}"
            mistakes.append((("speech", "renditions"), f"{expected}, got {spec.renditions}"))
    return mistakes


def _suggestion(name: str, names: object) -> str:
    close = get_close_matches(name, list(names), n=3, cutoff=0.5)  # type: ignore[call-overload]
    return f"; did you mean {' or '.join(close)}?" if close else ""


def rendition_id(dialogue_id: str, rendition: int) -> str:
    """The first rendition has the dialogue's own id, so that more renditions leave its id and draws as they are."""
    return f"{dialogue_id}#{rendition}" if rendition else dialogue_id


def speak_all(
    engine: SpeechEngine,
    dialogues: Sequence[Dialogue],
    spec: Speech,
    seed: int,
    gate: Gate | None = None,
) -> list[list[SpokenDialogue | Rejection]]:
    """Each dialogue spoken `spec.renditions` times, each by another user; the assistant speaks once for all.

    One result per rendition, in order: trimmed, levelled utterances at the engine's rate, or why there are none.
    Everything about a dialogue is a function of itself, the other arguments and the fingerprints of engine and gate.
    """
    casts = [_cast(engine, dialogue, spec, seed) for dialogue in dialogues]
    keys = dict.fromkeys(
        (number, turn, cast.voice(dialogue.turns[turn]))
        for number, (dialogue, of_dialogue) in enumerate(zip(dialogues, casts, strict=True))
        for cast in of_dialogue
        for turn in range(len(dialogue.turns))
    )
    spoken = _speak(_Speaker(engine, spec, gate), dialogues, list(keys), seed)
    return [
        list(_renditions(engine, number, dialogue, of_dialogue, spec, spoken))
        for number, (dialogue, of_dialogue) in enumerate(zip(dialogues, casts, strict=True))
    ]


@dataclass(frozen=True, slots=True)
class _Cast:
    """The voices of a rendition."""

    assistant: str
    user: str
    bystander: str  # another user's; the user's own, if there is no other

    def voice(self, turn: Turn) -> str:
        if turn.role == "assistant":
            return self.assistant
        return self.bystander if turn.kind == BYSTANDER else self.user


def _cast(engine: SpeechEngine, dialogue: Dialogue, spec: Speech, seed: int) -> list[_Cast]:
    """The voices of a dialogue's renditions; fewer than renditions if the language has too few."""
    names = generator(seed, dialogue.id, "user_voice").permutation(user_voices(engine, spec, dialogue.language))
    others = np.roll(names, -1)
    casts = zip(names[: spec.renditions], others[: spec.renditions], strict=True)
    return [_Cast(spec.assistant_voice, str(user), str(bystander)) for user, bystander in casts]


def _renditions(
    engine: SpeechEngine, number: int, dialogue: Dialogue, casts: list[_Cast], spec: Speech, spoken: dict[Key, Spoken]
) -> Iterator[SpokenDialogue | Rejection]:
    for rendition, cast in enumerate(casts):
        name = rendition_id(dialogue.id, rendition)
        if cast.user == cast.bystander and any(turn.kind == BYSTANDER for turn in dialogue.turns):
            detail = f"{cast.user} is the only user voice of {engine.name} in {dialogue.language!r}"
            yield Rejection(name, "speech", "no_voice_for_bystander", detail)
            continue
        keys = [(number, index, cast.voice(turn)) for index, turn in enumerate(dialogue.turns)]
        failed = next((result for key in keys if isinstance(result := spoken[key], DialogueRejected)), None)
        if failed:
            yield Rejection(name, "speech", failed.reason, failed.detail)
            continue
        yield SpokenDialogue(
            name,
            dialogue.source,
            dialogue.language,
            tuple(
                _utterance(turn, key[2], one, engine.sample_rate)
                for turn, key in zip(dialogue.turns, keys, strict=True)
                if not isinstance(one := spoken[key], DialogueRejected)
            ),
        )
    # `check` knows the languages of the recipe; a dialogue may have another.
    for rendition in range(len(casts), spec.renditions):
        detail = f"{len(casts)} voices of {engine.name} can be this user's in {dialogue.language!r}"
        yield Rejection(rendition_id(dialogue.id, rendition), "speech", "language_not_spoken", detail)


def _utterance(turn: Turn, voice: str, speech: FinishedSpeech, sample_rate: int) -> Utterance:
    waveform, words, quality = speech.waveform, speech.words, speech.quality
    return Utterance(turn.role, turn.text, voice, waveform, sample_rate, words, quality, turn.kind, turn.at_word)


@dataclass(frozen=True, slots=True)
class _Speaker:
    engine: SpeechEngine
    spec: Speech
    gate: Gate | None

    @property
    def attempts(self) -> int:
        return self.spec.max_attempts if self.engine.uses_seed else 1

    def speak(self, requests: Sequence[SpeechRequest]) -> list[FinishedSpeech | DialogueRejected | BadSpeechError]:
        """One attempt at each: trimmed, levelled speech, or what is wrong with it."""
        speech = list(self.engine.speak(requests))
        rate = self.engine.sample_rate
        finished = [
            one if isinstance(one, DialogueRejected) else finish(one, rate, request, self.spec)
            for one, request in zip(speech, requests, strict=True)
        ]
        return finished if self.gate is None else self._judged(self.gate, speech, finished, requests)

    def _judged(
        self,
        gate: Gate,
        speech: Sequence[RawSpeech | DialogueRejected | BadSpeechError],
        finished: Sequence[FinishedSpeech | DialogueRejected | BadSpeechError],
        requests: Sequence[SpeechRequest],
    ) -> list[FinishedSpeech | DialogueRejected | BadSpeechError]:
        """`finished` with the gate's figures or BadSpeechErrors; the gate judges `speech`, as the engine gave it."""
        results = list(finished)
        voices = {request.voice for request in requests} if gate.spec.min_similarity is not None else set()
        prompts = {voice: self.engine.prompt(voice) for voice in voices}
        rate = self.engine.sample_rate
        to_judge = {
            number: (
                result,
                GateInput(
                    one.waveform, rate, request.text, request.language, prompts.get(request.voice), not result.words
                ),
            )
            for number, (one, result, request) in enumerate(zip(speech, finished, requests, strict=True))
            if isinstance(one, RawSpeech) and isinstance(result, FinishedSpeech)
        }
        verdicts = gate.verdicts([one for _, one in to_judge.values()])
        for (number, (result, _)), verdict in zip(to_judge.items(), verdicts, strict=True):
            if isinstance(verdict, BadSpeechError):
                results[number] = verdict
            else:
                results[number] = replace(result, words=result.words or verdict.words, quality=verdict.figures())
        return results


def _speak(speaker: _Speaker, dialogues: Sequence[Dialogue], keys: list[Key], seed: int) -> dict[Key, Spoken]:
    """Each utterance as finished speech, or why there is none; bad speech is tried again with another seed."""
    results: dict[Key, Spoken] = {}
    pending = {
        (number, turn, voice): SpeechRequest(
            dialogues[number].turns[turn].text, voice, dialogues[number].language, seed=0
        )
        for number, turn, voice in keys
    }
    for attempt in range(speaker.attempts):
        requests = [
            replace(request, seed=_seed(seed, dialogues[key[0]].id, key, attempt)) for key, request in pending.items()
        ]
        for key, request, result in zip(list(pending), requests, speaker.speak(requests), strict=True):
            if isinstance(result, BadSpeechError):
                attempts = f"after {speaker.attempts} attempts; {request.text[:60]!r}"
                results[key] = DialogueRejected("speech_failed", f"turn {key[1]}, voice {key[2]}: {result}, {attempts}")
                continue
            results[key] = result  # a rejection as well: no attempt makes such a text speakable
            del pending[key]
        if not pending:
            break
    return results


def _seed(seed: int, dialogue_id: str, key: Key, attempt: int) -> int:
    return int(generator(seed, dialogue_id, f"speech/{key[1]}/{key[2]}/{attempt}").integers(2**31))


def finish(
    raw: RawSpeech | BadSpeechError, sample_rate: int, request: SpeechRequest, spec: Speech
) -> FinishedSpeech | BadSpeechError:
    """Speech, trimmed and levelled; a BadSpeechError if it cannot be its text."""
    if isinstance(raw, BadSpeechError):
        return raw
    try:
        check_raw(raw.waveform)
        start, end = speech_span(raw.waveform, sample_rate)
        speech = raw.waveform[start:end]
        check_duration(speech, sample_rate, request.text, request.language)
    except BadSpeechError as error:
        return error
    words = raw.words and words_within(raw.words, start, end)
    return FinishedSpeech(level(speech, sample_rate, spec.loudness_lufs), words)
