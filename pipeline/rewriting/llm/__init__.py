"""Rewriting by a language model: prompt -> endpoint -> journal -> answer, validated."""

from pipeline.rewriting.llm.rewriter import LLMRewriter

__all__ = ["LLMRewriter"]
