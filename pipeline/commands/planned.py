"""What a build would do, in figures."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from ..acoustics.effects import make_effects
from ..dialogue import CHANNELS, Role
from ..scenarios.scenario import Amount
from ..scenarios.scenarios import make_scenario
from .build import Build
from .plan import LEFT_OUT

WORDS_PER_SECOND = 2.5
"""How fast a voice speaks, roughly: for estimates before any speech is there."""
IDS_PER_WORD = 1.8
"""Text ids per word, roughly: of the embedded text tokenizer, 4,019 for the 2,201 words of the sample corpus."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How many partitions of a stage are done."""

    stage: str
    done: int
    folder: str  # of its results


@dataclass(frozen=True, slots=True)
class Planned:
    """What a build would do, and how much of it is done. Hours are estimates, from the words of the sources."""

    recipe: str
    dialogues: int  # of the sources
    rejected: int  # rows of the sources
    reasons: Mapping[str, int]  # why they are rejected
    left_out: int  # rows of the sources, by `where`
    renditions: int  # of each dialogue
    takes: int  # of each rendition
    hours_to_speak: float
    hours: float  # of the data set
    hours_of_speech: float  # of these
    partitions: int
    partition_size: int
    stages: tuple[Progress, ...]
    effects: tuple[tuple[str, str], ...]  # of the recipe: the name, and what it uses

    @property
    def to_speak(self) -> int:
        """Dialogues that are spoken."""
        return self.dialogues * self.renditions

    @property
    def to_make(self) -> int:
        """Dialogues of the data set, if none is rejected on the way."""
        return self.to_speak * self.takes


def planned(build: Build) -> Planned:
    """Count what the plan of a build has."""
    dialogues = left_out = exchanges = 0
    reasons: Counter[str] = Counter()
    rewriting, timing = build.recipe.rewriting, build.recipe.timing
    limits = {"user": rewriting.max_user_words, "assistant": rewriting.max_reply_words}
    words = {"user": 0, "assistant": 0}
    for number in build.plan.partitions:
        record = build.plan.folder.record(number)
        assert record is not None, "the plan is whole"
        dialogues += record.outcome.emitted
        left_out += record.outcome.notes.get(LEFT_OUT, 0)
        reasons.update(rejection.reason for rejection in record.outcome.rejections)
        for row in build.plan.folder.read(number).to_pylist():
            for turn in row["turns"][: 2 * rewriting.max_exchanges]:
                words[turn["role"]] += min(_words(turn["text"]), limits[turn["role"]])
                exchanges += turn["role"] == "user"
    renditions = build.recipe.speech.renditions
    speech_s = sum(words.values()) / WORDS_PER_SECOND
    frame_s = build.sequences.samples_per_frame / build.sequences.sample_rate
    text_ids: dict[Role, int] = {role: round(words[role] * IDS_PER_WORD) for role in CHANNELS}
    pauses_s = make_scenario(timing).pauses_s(Amount(exchanges, text_ids, frame_s))
    return Planned(
        recipe=build.recipe.name,
        dialogues=dialogues,
        rejected=reasons.total(),
        reasons=dict(reasons.most_common()),
        left_out=left_out,
        renditions=renditions,
        takes=timing.takes,
        hours_to_speak=(words["user"] * renditions + words["assistant"]) / WORDS_PER_SECOND / 3600,
        hours=(speech_s + pauses_s) * renditions * timing.takes / 3600,
        hours_of_speech=speech_s * renditions * timing.takes / 3600,
        partitions=build.plan.num_partitions,
        partition_size=build.recipe.partition_size,
        stages=tuple(
            Progress(stage.name, build.plan.num_partitions - len(missing), str(folder.path))
            for stage, folder, missing in zip(build.stages, build.folders, build.missing, strict=True)
        ),
        effects=tuple(
            (effect.name, line) for effect in make_effects(build.recipe.acoustics) for line in effect.about()
        ),
    )


def _words(text: str) -> int:
    """Words of a text, or characters where a script has no spaces."""
    return sum(1 if word.isascii() else len(word) for word in text.split())
