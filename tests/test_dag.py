"""How the GPUs of a cluster are shared out; actor pools themselves are what builds test."""

import pytest

from pipeline.dag import gpus_each, slots
from pipeline.errors import UserError


@pytest.mark.parametrize(
    ("gpus", "share", "actors"), [(4, 0.5, 8), (4, 0.75, 4), (8, 0.7, 8), (4, 1, 4), (4, 2, 2), (3, 2, 1), (1, 0.3, 3)]
)
def test_an_actor_does_not_reach_over_two_gpus(gpus: float, share: float, actors: int) -> None:
    assert slots(gpus, share) == actors


@pytest.mark.parametrize("gpus", [1, 2, 3, 4, 8, 100])
def test_stages_share_what_there_is(gpus: float) -> None:
    shares = {"speech": 0.5, "data": 0.25}
    given = gpus_each(shares, gpus)
    assert sum(given.values()) <= gpus
    assert all(given[name] >= share for name, share in shares.items())
    assert gpus < 4 or given["speech"] > given["data"]


def test_stages_that_ask_for_more_than_there_is_are_named() -> None:
    with pytest.raises(UserError, match=r"2 GPUs, an actor each \(speech 1, data 1\), and the cluster has 1"):
        gpus_each({"speech": 1, "data": 1}, 1)
    assert gpus_each({}, 0) == {}
