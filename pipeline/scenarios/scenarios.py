"""Scenarios by their names in a recipe. To add one, write its module and put it here."""

from typing import Annotated

from pydantic import BeforeValidator, SerializeAsAny

from ..recipe.sections import of_its_part
from .free_input import FreeInput
from .interruption import Interruption
from .natural import Natural
from .pieces import Pieces
from .scenario import Scenario
from .section import Timing
from .semi_duplex import SemiDuplex
from .turn_taking import TurnTaking

SCENARIOS: dict[str, type[Scenario]] = {
    TurnTaking.name: TurnTaking,
    Interruption.name: Interruption,
    FreeInput.name: FreeInput,
    SemiDuplex.name: SemiDuplex,
    Pieces.name: Pieces,
    Natural.name: Natural,
}

TimingSection = Annotated[
    SerializeAsAny[Timing], BeforeValidator(lambda value: of_its_part(value, "scenario", SCENARIOS))
]
"""What a recipe says of timing: the section of the scenario that it names."""


def make_scenario(timing: Timing) -> Scenario:
    return SCENARIOS[timing.scenario](timing)
