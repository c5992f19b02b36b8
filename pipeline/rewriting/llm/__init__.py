"""Rewriting by a language model: prompt -> endpoint -> journal -> answer, validated."""

from .rewriter import LLMRewriter

__all__ = ["LLMRewriter"]
