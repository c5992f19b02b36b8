"""Scenarios by the name a recipe gives them. To add one: write the module, put it here."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, SerializeAsAny

from .interruption import Interruption
from .scenario import Scenario
from .section import Timing
from .turn_taking import TurnTaking

SCENARIOS: dict[str, type[Scenario]] = {TurnTaking.name: TurnTaking, Interruption.name: Interruption}


def _of_its_scenario(value: Any) -> Any:
    """The section as that of the scenario it names; what names none is left for others to complain of."""
    if isinstance(value, Mapping) and (scenario := value.get("scenario")) in SCENARIOS:
        return SCENARIOS[scenario].Spec.model_validate(value)
    return value


TimingSection = Annotated[SerializeAsAny[Timing], BeforeValidator(_of_its_scenario)]
"""What a recipe says of timing: the section of the scenario it names."""


def make_scenario(timing: Timing) -> Scenario:
    return SCENARIOS[timing.scenario](timing)
