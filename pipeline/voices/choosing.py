"""Which clips become voices: one per speaker, no two that sound alike; and which voices are held out.

The name of a speaker decides whether the voice is held out; without a name, the content of the recording does. So a
voice stays on its side whatever other recordings are in the folder. Clips on both sides that sound like one voice would
break that, so none of them is kept (of two named speakers, who are not one person, the one that is not held out is
kept).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..randomness import generator
from .judging import Candidate, Rejected
from .recipe import VoicesRecipe

Split = Literal["train", "eval"]
Table = NDArray[np.float32]  # [speakers, 256], of length 1
ROWS = 1024  # of the table of cosines, in memory at once


@dataclass(frozen=True, slots=True)
class Chosen:
    """A clip that becomes a voice, and the side that it is on."""

    candidate: Candidate
    split: Split


def split_of(candidate: Candidate, recipe: VoicesRecipe) -> Split:
    """The side of a speaker, or of a recording whose speaker has no name: a function of nothing else."""
    key = f"recording {candidate.sha256}" if candidate.speaker is None else f"speaker {candidate.speaker}"
    return "eval" if generator(recipe.seed, key, "held out").random() < recipe.held_out_share else "train"


def choose(candidates: Sequence[Candidate], recipe: VoicesRecipe) -> tuple[list[Chosen], list[Rejected]]:
    """The voices, best first, and why the other clips are not voices. The order of `candidates` does not matter."""
    if not candidates:
        return [], []
    rejected: list[Rejected] = []
    ranked = sorted(candidates, key=lambda candidate: (-candidate.dnsmos, candidate.sha256))
    speakers = list(_best_of_each(ranked, rejected))
    sides = [split_of(candidate, recipe) for candidate in speakers]
    table = np.stack([candidate.embedding for candidate in speakers])
    kept: list[int] = []
    for index in _apart(speakers, table, sides, recipe, rejected):
        nearest = _nearest(table, index, [other for other in kept if sides[other] == sides[index]])
        if nearest is not None and nearest[1] >= recipe.max_similarity:
            rejected.append(_left_out(speakers[index], speakers[nearest[0]], nearest[1], "same_voice", "sounds like"))
        else:
            kept.append(index)
    chosen = []
    for index in kept:
        nearest = _nearest(table, index, [other for other in kept if other != index])
        chosen.append(Chosen(_with_nearest(speakers[index], nearest), sides[index]))
    return chosen, rejected


def _best_of_each(ranked: Iterable[Candidate], rejected: list[Rejected]) -> Iterator[Candidate]:
    best: dict[str, Candidate] = {}
    for candidate in ranked:
        if candidate.speaker is None:
            yield candidate
        elif candidate.speaker not in best:
            best[candidate.speaker] = candidate
            yield candidate
        else:
            other = best[candidate.speaker]
            cosine = float(candidate.embedding @ other.embedding)
            rejected.append(_left_out(candidate, other, cosine, "same_speaker", "another clip of the speaker of"))


def _apart(
    speakers: Sequence[Candidate],
    table: Table,
    sides: Sequence[Split],
    recipe: VoicesRecipe,
    rejected: list[Rejected],
) -> list[int]:
    """Indices of the speakers that stay: no voice of the other side sounds like them (no unnamed one, if named)."""
    apart = []
    train = [index for index, side in enumerate(sides) if side == "train"]
    held_out = [index for index, side in enumerate(sides) if side == "eval"]
    for mine, theirs in ((train, held_out), (held_out, train)):
        for index, alike in zip(mine, _alike(table, mine, theirs, recipe.max_similarity), strict=True):
            is_named_train = sides[index] == "train" and speakers[index].speaker is not None
            against = [other for other in alike if speakers[other].speaker is None] if is_named_train else alike
            if nearest := _nearest(table, index, against):
                other, cosine = nearest
                rejected.append(
                    _left_out(speakers[index], speakers[other], cosine, "both_splits", "on the other side is")
                )
            else:
                apart.append(index)
    return sorted(apart)


def _alike(table: Table, rows: list[int], columns: list[int], cosine: float) -> Iterator[list[int]]:
    """For each of `rows`, those of `columns` whose cosine with it is at least `cosine`."""
    others = table[columns]
    for first in range(0, len(rows), ROWS):
        for row in table[rows[first : first + ROWS]] @ others.T >= cosine:
            yield [columns[index] for index in np.flatnonzero(row)]


def _nearest(table: Table, index: int, others: list[int]) -> tuple[int, float] | None:
    """The one of `others` that sounds most like `index`, and the cosine of the two; None if there is none."""
    if not others:
        return None
    cosines = (table @ table[index])[others]
    best = int(np.argmax(cosines))
    return others[best], float(cosines[best])


def _with_nearest(candidate: Candidate, nearest: tuple[int, float] | None) -> Candidate:
    if nearest is None:
        return candidate
    return replace(candidate, figures=replace(candidate.figures, similarity=nearest[1]))


def _left_out(candidate: Candidate, other: Candidate, cosine: float, reason: str, why: str) -> Rejected:
    detail = f"{why} {other.where} (cosine {cosine:.2f}, DNSMOS {other.dnsmos:.2f})"
    return Rejected(candidate.where, reason, detail, replace(candidate.figures, similarity=cosine))
