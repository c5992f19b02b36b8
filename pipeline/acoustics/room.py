"""A room around the user, by its image sources."""

from collections.abc import Mapping
from importlib.metadata import version
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from ..audio.pcm import to_float
from ..dialogue import Timeline, Track
from ..recipe.sections import Between, Share
from .effect import Effect, EffectSection
from .image_sources import Place, impulse_response, reverberated
from .levels import limited

LENGTH_M, WIDTH_M, HEIGHT_M = (3.0, 8.0), (3.0, 6.0), (2.4, 3.2)  # of a room, drawn
WALL_M = 0.5  # between a wall and the user or the microphone, at least
HEAD_M = (1.0, 1.8)  # how high the user's mouth is, and the microphone


class ReverberationTimes(Between):
    """A uniform distribution of seconds, written `[low, high]`. Longer ones take very many image sources."""

    low: Annotated[float, Field(ge=0.15, le=1)]
    high: Annotated[float, Field(ge=0.15, le=1)]


class Distances(Between):
    """A uniform distribution of metres, written `[low, high]`."""

    low: Annotated[float, Field(ge=0.1, le=5)]
    high: Annotated[float, Field(ge=0.1, le=5)]


class RoomSection(EffectSection):
    effect: Literal["room"] = "room"
    probability: Share = 1.0  # of a dialogue
    t60_s: ReverberationTimes = ReverberationTimes(low=0.2, high=0.6)
    distance_m: Distances = Distances(low=0.3, high=2.0)


class Room(Effect):
    """The user's channel gets reverberation. Its energy stays the same, and so does the time at which a sound is heard
    first.

    Values, in a dialogue in a room: `t60_s`, which is drawn; `measured_t60_s`, that of the simulated response;
    `distance_m`; the room's `length_m`, `width_m` and `height_m`; and `limited_samples` if there are any.
    """

    name: ClassVar[str] = "room"
    Spec: ClassVar[type[EffectSection]] = RoomSection

    def __init__(self, spec: EffectSection) -> None:
        assert isinstance(spec, RoomSection)
        self.spec = spec

    def fingerprint(self) -> Mapping[str, Any]:
        return {"scipy": version("scipy")}

    def apply(self, track: Track, timeline: Timeline, rng: np.random.Generator) -> tuple[Track, Mapping[str, float]]:
        spec = self.spec
        if rng.random() >= spec.probability:
            return track, {}
        t60_s = float(rng.uniform(spec.t60_s.low, spec.t60_s.high))
        distance_m = float(rng.uniform(spec.distance_m.low, spec.distance_m.high))
        place = _place(distance_m, rng)
        response = impulse_response(place, t60_s, track.sample_rate)
        samples = track.samples.copy()
        samples[0], count = limited(reverberated(to_float(samples[0]), response), track.sample_rate)
        sizes = dict(zip(("length_m", "width_m", "height_m"), place.size, strict=True))
        values = {"t60_s": t60_s, "measured_t60_s": response.t60_s, "distance_m": distance_m, **sizes}
        return Track(samples, track.sample_rate), values | ({"limited_samples": float(count)} if count else {})


def _place(distance_m: float, rng: np.random.Generator) -> Place:
    """A room that is large enough for the distance."""
    least = distance_m + 2 * WALL_M + 0.1
    length, width = (max(float(rng.uniform(*between)), least) for between in (LENGTH_M, WIDTH_M))
    height = float(rng.uniform(*HEIGHT_M))
    heads = [float(rng.uniform(*HEAD_M)) for _ in range(2)]
    heads[1] = heads[0] + float(np.clip(heads[1] - heads[0], -distance_m / 2, distance_m / 2))
    flat = float(np.sqrt(distance_m**2 - (heads[1] - heads[0]) ** 2))
    angle = rng.uniform(0, 2 * np.pi)
    user, microphone = [], []
    for size, part in ((length, flat * float(np.cos(angle))), (width, flat * float(np.sin(angle)))):
        at = float(rng.uniform(WALL_M + max(0.0, -part), size - WALL_M - max(0.0, part)))
        user.append(at)
        microphone.append(at + part)
    return Place((length, width, height), (user[0], user[1], heads[0]), (microphone[0], microphone[1], heads[1]))
