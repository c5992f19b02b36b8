"""Who writes events, chosen by `events.texts`."""

from ..rewriting.section import Rewriting
from .llm import LLMWriter
from .section import Events
from .writing import EventWriter, RulesWriter

WRITERS: dict[str, type[EventWriter]] = {"rules": RulesWriter, "llm": LLMWriter}


def make_writer(spec: Events, limits: Rewriting, seed: int) -> EventWriter:
    """limits: a recipe's section, for the lengths of turns."""
    return WRITERS[spec.texts](spec, limits, seed)
