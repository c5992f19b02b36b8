"""Clips of a bank that are too long for a prompt, by their lengths in bank.json."""

import logging
from collections.abc import Mapping, Sequence

from ...recipe.file import Location, Problem
from ..recorded import BANK_FILE, Index, RecordedBank
from .prompts import LONGEST_S

LOG = logging.getLogger(__name__)


def too_long(bank: RecordedBank) -> dict[str, float]:
    """Voices whose clip CosyVoice does not hear to its end, with the clip's length in seconds."""
    index = Index.model_validate_json((bank.folder / BANK_FILE).read_bytes())
    return {row.name: row.duration_s for row in index.voices if row.duration_s > LONGEST_S}


def check(unfit: Mapping[str, float], names: Sequence[tuple[Location, str]]) -> list[Problem]:
    """A problem for each voice of `unfit` that a recipe names. If it names none, a warning lists them."""
    expected = f"expected a clip of {LONGEST_S:.0f} s at most"
    problems = [
        (location, f"the clip of voice {name!r} lasts {unfit[name]:.1f} s, {expected}")
        for location, name in names
        if name in unfit
    ]
    if unfit and not problems:
        LOG.warning("%s; voices with longer clips, which are never drawn: %s", expected, ", ".join(sorted(unfit)))
    return problems
