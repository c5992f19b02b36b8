"""Checks a recipe as a whole before any work: its form, and that the parts it names exist and fit together."""

from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from ..acoustics.effects import AcousticsSection, make_effects
from ..dataset.recipe import Output, Recipe
from ..events.phrases import PHRASES
from ..events.section import Events
from ..events.writers import make_writer
from ..layouts.layouts import DEFAULT, LAYOUTS, AnyLayoutSection
from ..layouts.section import LayoutSection
from ..recipe.file import Location, Mistake, Problem, RecipeFile, checked, find, read, validate
from ..recipe.sections import Section
from ..rewriting.rewriters import REWRITERS
from ..rewriting.section import Rewriting
from ..scenarios.scenarios import SCENARIOS, TimingSection
from ..scenarios.section import Timing
from ..sources import reading as sources
from ..sources.section import Source
from ..speech import engines as speech
from ..speech.section import Speech
from ..tokens.section import Tokens
from ..tokens.tokenizers import SPEECH_TOKENIZERS, TEXT_TOKENIZERS, SpeechTokenizer

S = TypeVar("S", bound=Section)


def load(name: str) -> tuple[Recipe, Path]:
    """A recipe that is right as a whole, and the folder to which its paths of sources are relative.

    name: a YAML file, or the bare name of a recipe that ships. Raises UserError with every mistake at once.
    """
    file, recipe, mistakes = examine(name)
    return checked(file, recipe, mistakes), file.base


def examine(name: str) -> tuple[RecipeFile, Recipe | None, list[Mistake]]:
    """A recipe's file, the recipe if its form is right, and every mistake; raises UserError if it cannot be read."""
    file = read(find(name))
    recipe, mistakes = validate(file, Recipe)
    return file, recipe, [*mistakes, *_check_names(file)]


def _check_names(file: RecipeFile) -> list[Mistake]:
    """What a section names must exist. Each section with a correct form is checked, even if others are wrong."""
    problems: list[Problem] = []
    items = file.raw.get("sources")
    read_sources: dict[int, Source] = {}
    for index, item in enumerate(items if isinstance(items, list) else []):
        if source := _section(Source, item):
            read_sources[index] = source
            if problem := sources.check(source, file.base):
                problems.append((("sources", index, "path" if source.path else "hub"), problem))
    if rewriting := _section(Rewriting, file.raw.get("rewriting", {})):
        problems += _unknown(("rewriting", "engine"), rewriting.engine, REWRITERS)
        if rewriting.engine in REWRITERS:
            problems += REWRITERS[rewriting.engine](rewriting).check()
        longest = rewriting.max_exchanges
        for index, source in read_sources.items():
            if source.join > longest:
                message = f"expected at most rewriting.max_exchanges, {longest}, got {source.join}"
                problems.append((("sources", index, "join"), message))
    if file.raw.get("events") is not None and (events := _section(Events, file.raw["events"])):
        problems += make_writer(events, Rewriting(), seed=0).check()
    if section := _section(Speech, file.raw.get("speech", {})):
        languages = frozenset(source.language for source in read_sources.values())
        of_speech = speech.check(section, languages)
        problems += of_speech + _check_words(section, file.raw)
        problems += _check_events(None if of_speech else section, file.raw, languages)
    problems += _check_parts(file.raw)
    problems += _check_effects(file.raw.get("acoustics", []))
    problems += _check_unused(file.raw)
    return [file.mistake(location, message) for location, message in problems]


PARTS = {
    ("rewriting", "llm"): "engine",
    ("events", "llm"): "texts",
    ("speech", "cosyvoice"): "engine",
    ("tokens", "glm4voice"): "speech_tokenizer",
    ("tokens", "mimi"): "speech_tokenizer",
    ("tokens", "pretrained"): "text_tokenizer",
}


def _check_unused(raw: dict[str, Any]) -> list[Problem]:
    """Problems of sections for parts that are not used: they would change nothing, and nobody would notice."""
    problems: list[Problem] = []
    for (section, name), key in PARTS.items():
        keys = raw.get(section)
        if isinstance(keys, dict) and keys.get(name) is not None and keys.get(key) != name:
            why = f"changes nothing: it is for `{key}: {name}`, and {key} has another value"
            problems.append(((section, name), f"{why}. Remove it; if an extended recipe says it, write `{name}: null`"))
    return problems


def _check_parts(raw: dict[str, Any]) -> list[Problem]:
    """Problems of the tokenizers, alone and together with the layout and the output."""
    problems: list[Problem] = []
    of_layout = _section(_OfLayout, {key: raw[key] for key in _OfLayout.model_fields if key in raw})
    if tokens := _section(Tokens, raw.get("tokens", {})):
        problems += _check_tokenizers(tokens)
    if of_layout and tokens:
        problems += _check_blocks(of_layout.layout, tokens)
    of_timing = _section(_OfTiming, {key: raw[key] for key in _OfTiming.model_fields if key in raw})
    if of_layout and of_timing:
        problems += _check_channels(of_layout.layout, of_timing.timing)
    output = _section(Output, raw.get("output", {}))
    if tokens and output and tokens.speech_tokenizer in SPEECH_TOKENIZERS:
        tokenizer = SPEECH_TOKENIZERS[tokens.speech_tokenizer](tokens)
        problems += _check_time(tokenizer, output)
        if of_layout and of_timing:
            frame_s = tokenizer.samples_per_frame / tokenizer.sample_rate
            problems += _check_lead(of_layout.layout, of_timing.timing, frame_s, output.sample_rate)
    return problems


def _check_events(speech_section: Speech | None, raw: dict[str, Any], languages: frozenset[str]) -> list[Problem]:
    """Problems of the events with the scenario, the languages and the voices, if those are right in themselves."""
    if raw.get("events") is None or not (events := _section(Events, raw["events"])):
        return []
    problems: list[Problem] = []
    of_timing = _section(_OfTiming, {key: raw[key] for key in _OfTiming.model_fields if key in raw})
    if of_timing and not SCENARIOS[of_timing.timing.scenario].TAKES_EVENTS:
        able = ", ".join(name for name, scenario in SCENARIOS.items() if scenario.TAKES_EVENTS)
        problems.append((("events",), f"the scenario {of_timing.timing.scenario} has turns alone, expected {able}"))
    if unknown := languages - PHRASES.keys():
        known = ", ".join(PHRASES)
        problems.append((("events",), f"there are phrases in {known}, and sources in {', '.join(sorted(unknown))}"))
    if events.during_replies.bystander and speech_section:
        engine = speech.ENGINES[speech_section.engine](speech_section)
        for language in sorted(languages):
            if len(speech.user_voices(engine, speech_section, language)) == 1:
                message = f"expected two voices or more for {language}, as a bystander has another than the user"
                problems.append((("speech", "user_voices"), message))
    return problems


class _OfAcoustics(Section):
    """Only the effects of a recipe: pydantic chooses their sections by their names."""

    acoustics: AcousticsSection


def _check_effects(items: object) -> list[Problem]:
    """Problems of each effect whose form is correct."""
    problems: list[Problem] = []
    for index, item in enumerate(items if isinstance(items, list) else []):
        if section := _section(_OfAcoustics, {"acoustics": [item]}):
            (effect,) = make_effects(section.acoustics)
            problems += ((("acoustics", index, *location), message) for location, message in effect.check())
    return problems


class _OfLayout(Section):
    """Only the layout of a recipe: pydantic chooses its section by the name."""

    layout: AnyLayoutSection = DEFAULT


def _check_words(speech_section: Speech, raw: dict[str, Any]) -> list[Problem]:
    of_layout = _section(_OfLayout, {key: raw[key] for key in _OfLayout.model_fields if key in raw})
    if not of_layout or speech_section.engine not in speech.ENGINES or not LAYOUTS[of_layout.layout.name].NEEDS_WORDS:
        return []
    if speech.times_words(speech_section):
        return []
    message = f"the layout {of_layout.layout.name} needs the times of words, and {speech_section.engine} does not tell"
    return [(("speech", "gate"), f"{message} them. Expected a gate that listens, such as gate: {{max_wer: 0.1}}")]


class _OfTiming(Section):
    """Only the timing of a recipe: pydantic chooses its section by the scenario."""

    timing: TimingSection


def _check_channels(layout: LayoutSection, timing: Timing) -> list[Problem]:
    if layout.channels == timing.channels:
        return []
    needed, used = (" and ".join(sorted(channels)) for channels in (layout.channels, timing.channels))
    message = f"has speech on the channel of {used}, and the layout {layout.name} is for speech on that of {needed}"
    return [(("timing", "scenario"), f"{message}. Change the layout or the scenario")]


def _check_lead(layout: LayoutSection, timing: Timing, frame_s: float, sample_rate: int) -> list[Problem]:
    """Whether the text of each reply has a place between the turn that it answers, or its transcript, and its speech.

    sample_rate: of the tracks, Hz.
    """
    lead = layout.text_lead_frames
    if lead is None:
        return []
    if layout.writes_transcripts:
        if timing.frames_after_transcript is None:
            message = "leaves no time for a transcript, and the layout writes one before each reply"
            return [(("timing", "scenario"), f"{message}. Expected semi_duplex")]
        if timing.frames_after_transcript < lead:
            message = f"expected at least layout.text_lead, {lead} frames, got {timing.frames_after_transcript}"
            return [(("timing", "text_lead_frames"), f"{message}: the text of a reply starts after the transcript")]
    elif "reply_delay_s" not in timing.SHAPELESS and timing.reply_delay_s * sample_rate < (
        (lead + 1) * frame_s * sample_rate - 1
    ):
        message = f"expected at least {(lead + 1) * frame_s:g}, layout.text_lead and one frame more"
        return [(("timing", "reply_delay_s"), f"{message}: the text of a reply starts after the user's last frame")]
    return []


def _check_blocks(layout: LayoutSection, tokens: Tokens) -> list[Problem]:
    problems: list[Problem] = []
    if tokens.margin_frames < layout.margin_frames:
        message = f"expected at least what the layout {layout.name} needs, {layout.margin_frames}"
        problems.append((("tokens", "margin_frames"), f"{message}, got {tokens.margin_frames}"))
    section = tokens.glm4voice
    if section and section.mode == "streaming" and layout.block_frames % section.block_frames:
        message = f"expected a divisor of the layout's block, {layout.block_frames} frames, got {section.block_frames}"
        problems.append((("tokens", "glm4voice", "block_frames"), f"{message}: codes would depend on later blocks"))
    return problems


def _check_tokenizers(tokens: Tokens) -> list[Problem]:
    problems = _unknown(("tokens", "speech_tokenizer"), tokens.speech_tokenizer, SPEECH_TOKENIZERS)
    problems += _unknown(("tokens", "text_tokenizer"), tokens.text_tokenizer, TEXT_TOKENIZERS)
    if tokens.speech_tokenizer in SPEECH_TOKENIZERS:
        problems += SPEECH_TOKENIZERS[tokens.speech_tokenizer](tokens).check()
    if tokens.text_tokenizer in TEXT_TOKENIZERS:
        problems += TEXT_TOKENIZERS[tokens.text_tokenizer](tokens).check()
    return problems


def _check_time(tokenizer: SpeechTokenizer, output: Output) -> list[Problem]:
    if (tokenizer.samples_per_frame * output.sample_rate) % tokenizer.sample_rate == 0:
        return []
    frame_ms = tokenizer.samples_per_frame / tokenizer.sample_rate * 1000
    message = f"a frame of {tokenizer.name} ({frame_ms:g} ms) is not a whole number of samples"
    return [(("output", "sample_rate"), f"{message} at {output.sample_rate} Hz")]


def _section(model: type[S], value: object) -> S | None:
    try:
        return model.model_validate(value)
    except ValidationError:
        return None  # reported by `validate`


def _unknown(location: Location, name: str, table: dict[str, type]) -> list[Problem]:
    if name in table:
        return []
    return [(location, f"expected one of {', '.join(sorted(table))}, got {name!r}")]
