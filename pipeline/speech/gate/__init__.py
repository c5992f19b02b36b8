"""The quality gate: listens to the speech of an engine, measures it and compares it with thresholds."""

from .gate import Gate
from .quality import Quality

__all__ = ["Gate", "Quality"]
