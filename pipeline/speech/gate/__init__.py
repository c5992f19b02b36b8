"""The quality gate: listens to what an engine has said, and names what is wrong with it in figures."""

from .gate import Gate
from .quality import Quality

__all__ = ["Gate", "Quality"]
