"""A recipe's section `timing` is that of the scenario it names, and mistakes are told with their place."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from duplexgen.pipeline.recipe.sections import Range
from duplexgen.pipeline.scenarios.interruption import Interruption, InterruptionTiming
from duplexgen.pipeline.scenarios.scenarios import SCENARIOS, TimingSection, make_scenario
from duplexgen.pipeline.scenarios.turn_taking import TurnTaking, TurnTakingTiming


class Holder(BaseModel):
    timing: TimingSection


def read(**timing: Any) -> Any:
    return Holder.model_validate({"timing": timing}).timing


def wrong(timing: Any) -> list[tuple[Any, ...]]:
    with pytest.raises(ValidationError) as caught:
        Holder.model_validate({"timing": timing})
    return [problem["loc"] for problem in caught.value.errors()]


@pytest.mark.parametrize("name", SCENARIOS)
def test_each_is_made_of_its_own_section(name: str) -> None:
    section = read(scenario=name)
    assert type(section) is SCENARIOS[name].Spec
    scenario = make_scenario(section)
    assert type(scenario) is SCENARIOS[name] and scenario.name == name == section.scenario


def test_a_section_is_written_whole_and_read_back() -> None:
    section = read(scenario="interruption", reaction_delay_s=[1.0, 1.5], takes=3)
    assert isinstance(section, InterruptionTiming) and section.reaction_delay_s == Range(low=1.0, high=1.5)
    written = Holder(timing=section).model_dump(mode="json")
    assert written["timing"]["reaction_delay_s"] == {"low": 1.0, "high": 1.5} and written["timing"]["takes"] == 3
    assert Holder.model_validate(written).timing == section
    assert make_scenario(section) == Interruption(section)
    assert make_scenario(TurnTakingTiming(scenario="turn_taking")) == TurnTaking(
        TurnTakingTiming(scenario="turn_taking")
    )


@pytest.mark.parametrize(
    ("timing", "key"),
    [
        ({"scenario": "turn_taking", "reaction_delay_s": [1.0, 2.0]}, ("timing", "reaction_delay_s")),
        ({"scenario": "interruption", "interruption_probability": 2.0}, ("timing", "interruption_probability")),
        ({"scenario": "interruption", "lead_in_s": [2.0, 1.0]}, ("timing", "lead_in_s")),
        ({"scenario": "interruption", "takes": 0}, ("timing", "takes")),
        ({"scenario": "interruption", "unheard": 1}, ("timing", "unheard")),
        ({"scenario": "chaos"}, ("timing", "scenario")),
        ({"scenario": ["turn_taking"]}, ("timing", "scenario")),
        ({"scenario": {"turn_taking": 1}}, ("timing", "scenario")),
        ({"scenario": None}, ("timing", "scenario")),
        ({}, ("timing", "scenario")),
        ([], ("timing",)),
        ("turn_taking", ("timing",)),
    ],
)
def test_a_mistake_is_told_where_it_is(timing: Any, key: tuple[str, ...]) -> None:
    assert wrong(timing) == [key]


WORDS = st.sampled_from(["", "x", "scenario", "interruption", "takes"])
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=6,
)


@given(json_values)
def test_whatever_stands_there_is_a_section_or_a_mistake(value: Any) -> None:
    try:
        section = Holder.model_validate({"timing": value}).timing
    except ValidationError:
        return
    assert section.scenario in SCENARIOS
