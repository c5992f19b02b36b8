"""What evaluation is built from shares no text and no user voice with what training is built from."""

import re
from itertools import pairwise
from pathlib import Path

import pytest

from duplexgen.pipeline.commands import checking
from duplexgen.pipeline.dataset.recipe import Recipe
from duplexgen.pipeline.dialogue import Dialogue
from duplexgen.pipeline.recipe.file import shipped
from duplexgen.pipeline.rewriting.rules import RulesRewriter
from duplexgen.pipeline.scenarios.interruption import InterruptionTiming
from duplexgen.pipeline.sources.reading import Read, joined, read
from duplexgen.pipeline.speech.engines import ENGINES, user_voices

HELD_OUT = sorted(name for name in shipped() if name.startswith("held_out"))
TRAINED_ON = sorted(name for name in {*shipped()} - {*HELD_OUT} if "/" not in name)  # those below need models
COMMON = {"should", "people", "really"}  # long words that say nothing of the topic
TRAINING = ("train_turn_taking", "train_interruption")


def load(name: str) -> tuple[Recipe, Path]:
    return checking.load(name)


def written(name: str) -> list[Dialogue]:
    """Every dialogue of a recipe's sources, joined as the recipe says."""
    recipe, base = load(name)
    items = [item for source in recipe.sources for item in joined(read(source, base), source.join)]
    return [item.dialogue for item in items if isinstance(item, Read)]


def spoken(name: str) -> list[Dialogue]:
    results = RulesRewriter(load(name)[0].rewriting).rewrite_all(written(name))
    return [result.dialogue for result in results if hasattr(result, "dialogue")]


def sentences(dialogues: list[Dialogue]) -> set[str]:
    """Sentences of all turns, without case, marks and spaces."""
    texts = (turn.text for dialogue in dialogues for turn in dialogue.turns)
    found = (re.sub(r"\W+", "", part).lower() for text in texts for part in re.split(r"[.!?\n]", text))
    return {part for part in found if part}


def shingles(dialogues: list[Dialogue], words: int) -> set[tuple[str, ...]]:
    """Every run of so many words within a turn."""
    turns = [re.findall(r"\w+", turn.text.lower()) for dialogue in dialogues for turn in dialogue.turns]
    return {tuple(turn[start : start + words]) for turn in turns for start in range(len(turn) - words + 1)}


def test_a_hundred_short_questions_with_replies_of_some_seconds() -> None:
    dialogues = written("held_out_turn_taking")
    assert len(dialogues) == len({dialogue.id for dialogue in dialogues}) == 100
    assert len(sentences(dialogues)) == sum(len(sentences([dialogue])) for dialogue in dialogues)
    for dialogue in dialogues:
        question, reply = (turn.text for turn in dialogue.turns)
        assert 6 <= len(question.split()) <= 16, question
        assert 15 <= len(reply.split()) <= 35, reply
        assert re.fullmatch(r"[A-Za-z ,.;?'-]+", question + reply), (question, reply)


def test_all_of_it_is_spoken_as_it_is_written() -> None:
    for name in HELD_OUT:
        assert [dialogue.turns for dialogue in spoken(name)] == [dialogue.turns for dialogue in written(name)]


def test_pairs_are_the_same_questions_and_cover_all() -> None:
    single, paired = written("held_out_turn_taking"), written("held_out_interruption")
    for name in HELD_OUT:
        assert written(name) == (single if "turn_taking" in name else paired)
    assert {len(dialogue.turns) for dialogue in paired} == {4}
    assert [turn for dialogue in paired for turn in dialogue.turns] == [turn for item in single for turn in item.turns]


def test_neighbours_have_no_telling_word_in_common() -> None:
    for one, other in pairwise(written("held_out_turn_taking")):
        words = [set(re.findall(r"\w{6,}", item.turns[0].text.lower())) - COMMON for item in (one, other)]
        assert not words[0] & words[1], (one.turns[0].text, other.turns[0].text)


def test_no_text_in_common_with_what_ships_to_train_on() -> None:
    held_out = written("held_out_turn_taking") + spoken("held_out_turn_taking")
    for name in TRAINED_ON:
        training = written(name) + spoken(name)
        assert not sentences(held_out) & sentences(training)
        assert not shingles(held_out, 6) & shingles(training, 6)


@pytest.mark.parametrize("name", TRAINED_ON)
def test_no_user_voice_in_common(name: str) -> None:
    voices = {}
    for each in (name, *HELD_OUT):
        speech = load(each)[0].speech
        languages = {source.language for source in load(each)[0].sources}
        voices[each] = {name for one in languages for name in user_voices(ENGINES[speech.engine](speech), speech, one)}
        assert voices[each]
    for held_out in HELD_OUT:
        assert len(voices[held_out]) == 6
        assert not voices[name] & voices[held_out]


def test_evaluation_keeps_audio_and_interrupts_every_first_reply() -> None:
    for name in HELD_OUT:
        recipe = load(name)[0]
        timing = recipe.timing
        assert name.startswith(f"held_out_{timing.scenario}") and recipe.output.audio == "flac"
        assert not isinstance(timing, InterruptionTiming) or timing.interruption_probability == 1


def test_training_recipes_differ_in_their_timing_alone() -> None:
    """So that the second finds the speech of the first."""
    one, other = (load(name)[0] for name in TRAINING)
    changed = {"name": "", "description": "", "timing": one.timing}
    assert one.model_copy(update=changed) == other.model_copy(update=changed)
    assert [recipe.timing.scenario for recipe in (one, other)] == ["turn_taking", "interruption"]
