"""Events by a language model: what was drawn -> prompt -> endpoint -> journal -> what is said, validated."""

from .writer import LLMWriter

__all__ = ["LLMWriter"]
