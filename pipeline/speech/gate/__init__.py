"""The quality gate: listens to what an engine has said, and names what is wrong with it in figures."""

from pipeline.speech.gate.gate import Gate
from pipeline.speech.gate.quality import Quality

__all__ = ["Gate", "Quality"]
