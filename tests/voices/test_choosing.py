from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from duplexgen.pipeline.voices.choosing import choose, split_of
from duplexgen.pipeline.voices.judging import Candidate, Figures
from duplexgen.pipeline.voices.recipe import VoicesRecipe

SETTINGS = VoicesRecipe(held_out_share=0.3)


def clip(number: int, voice: int, dnsmos: float = 3.5, speaker: str | None = None, apart: float = 0.0) -> Candidate:
    """A clip whose embedding is `voice`'s axis, turned by `apart` radians towards an axis of its own."""
    embedding = np.zeros(256, dtype=np.float32)
    embedding[voice] = np.cos(apart)
    embedding[128 + number % 128] = np.sin(apart)
    return Candidate(
        where=f"{number}.wav",
        sha256=f"{number:064x}",
        speaker=speaker,
        sex=None,
        language="en",
        text="Hello.",
        license="CC0-1.0",
        start_s=0.0,
        end_s=5.0,
        figures=Figures(duration_s=5.0, dnsmos=dnsmos),
        embedding=embedding,
    )


def on_side(side: str, first: int, recipe: VoicesRecipe = SETTINGS) -> int:
    """The first number, from `first` on, of a clip without a speaker that falls on a side."""
    return next(number for number in range(first, 999) if split_of(clip(number, 0), recipe) == side)


def test_of_two_clips_of_one_voice_the_better_one_stays() -> None:
    one = on_side("train", 0)
    two = on_side("train", one + 1)
    chosen, rejected = choose([clip(one, 0, dnsmos=3.1), clip(two, 0, dnsmos=3.4), clip(999, 1)], SETTINGS)
    assert {voice.candidate.where for voice in chosen} == {f"{two}.wav", "999.wav"}
    assert [(left.where, left.reason) for left in rejected] == [(f"{one}.wav", "same_voice")]
    assert rejected[0].figures.similarity == pytest.approx(1.0)


def test_clips_of_one_speaker_give_one_voice_however_they_sound() -> None:
    clips = [clip(number, number, dnsmos=3 + number / 10, speaker="anna") for number in range(4)]
    chosen, rejected = choose(clips, SETTINGS)
    assert [voice.candidate.where for voice in chosen] == ["3.wav"]
    assert [left.reason for left in rejected] == ["same_speaker"] * 3


def test_voices_below_the_limit_both_stay() -> None:
    alike, other = clip(1, 0, apart=0.0), clip(2, 0, apart=np.arccos(0.89))
    assert float(alike.embedding @ other.embedding) == pytest.approx(0.89, abs=1e-6)
    sides = {split_of(alike, SETTINGS), split_of(other, SETTINGS)}
    chosen, _ = choose([alike, other], SETTINGS)
    assert len(chosen) == 2
    assert {voice.split for voice in chosen} == sides
    assert chosen[0].candidate.figures.similarity == pytest.approx(0.89, abs=1e-6)


def test_a_voice_on_both_sides_is_on_neither() -> None:
    held_out, train = clip(on_side("eval", 0), 0), clip(on_side("train", 0), 0, dnsmos=4.0)
    chosen, rejected = choose([held_out, train], SETTINGS)
    assert not chosen
    assert {left.reason for left in rejected} == {"both_splits"}


def test_of_two_speakers_with_names_the_one_that_is_trained_with_stays() -> None:
    names = [f"speaker {number}" for number in range(50)]
    sides = {name: split_of(clip(0, 0, speaker=name), SETTINGS) for name in names}
    train = next(name for name in names if sides[name] == "train")
    held_out = next(name for name in names if sides[name] == "eval")
    chosen, rejected = choose([clip(0, 0, speaker=train), clip(1, 0, dnsmos=4.0, speaker=held_out)], SETTINGS)
    assert [(voice.candidate.speaker, voice.split) for voice in chosen] == [(train, "train")]
    assert [(left.where, left.reason) for left in rejected] == [("1.wav", "both_splits")]


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_more_clips_move_nobody_across(data: st.DataObject) -> None:
    """Nobody of one side of a bank sounds like anybody of the other side of a bank made of more clips."""
    numbers = data.draw(st.lists(st.integers(0, 500), unique=True, max_size=40))
    named = [f"speaker {number}" if data.draw(st.booleans()) else None for number in numbers]
    every = [
        clip(number, number % 7, dnsmos=data.draw(st.floats(3, 4)), apart=data.draw(st.floats(0, 0.5)))
        for number in numbers
    ]
    every = [replace(one, speaker=name) for one, name in zip(every, named, strict=True)]
    fewer = every[: data.draw(st.integers(0, len(every)))]
    before, _ = choose(fewer, SETTINGS)
    after, rejected = choose(data.draw(st.permutations(every)), SETTINGS)
    assert len(after) + len(rejected) == len(every)
    for old in before:
        for new in after:
            if old.split != new.split and not (old.candidate.speaker and new.candidate.speaker):
                assert float(old.candidate.embedding @ new.candidate.embedding) < SETTINGS.max_similarity
            if old.candidate.where == new.candidate.where or (
                old.candidate.speaker and old.candidate.speaker == new.candidate.speaker
            ):
                assert old.split == new.split
    for index, one in enumerate(after):
        for other in after[:index]:
            assert float(one.candidate.embedding @ other.candidate.embedding) < SETTINGS.max_similarity


def test_the_order_of_the_clips_does_not_matter() -> None:
    clips = [clip(number, number % 5, dnsmos=3 + number % 3 / 10, apart=number / 40) for number in range(24)]
    once, again = choose(clips, SETTINGS), choose(clips[::-1], SETTINGS)
    assert [(v.candidate.where, v.split) for v in once[0]] == [(v.candidate.where, v.split) for v in again[0]]
    assert {(left.where, left.reason) for left in once[1]} == {(left.where, left.reason) for left in again[1]}


def test_the_share_held_out_is_about_what_was_asked_for() -> None:
    sides = [split_of(clip(number, 0), SETTINGS) for number in range(1000)]
    assert 0.25 < sides.count("eval") / 1000 < 0.35
    assert sides != [split_of(clip(number, 0), SETTINGS.model_copy(update={"seed": 1})) for number in range(1000)]
    for share, side in ((0.0, "train"), (1.0, "eval")):
        recipe = SETTINGS.model_copy(update={"held_out_share": share})
        assert {split_of(clip(number, 0), recipe) for number in range(99)} == {side}


def test_nothing_gives_nothing() -> None:
    assert choose([], SETTINGS) == ([], [])
