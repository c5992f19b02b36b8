import weakref
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch comes with the extra `train`")

from duplexgen.pipeline.errors import attempt  # noqa: E402


def test_what_a_failed_attempt_held_is_free_before_the_cache_is_emptied(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the memory of its tensors is not given back, and half of a batch does not fit either."""
    held: list[weakref.ref[Any]] = []
    alive: list[bool] = []

    def inner(tensor: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    def work() -> list[int]:
        tensor = torch.zeros(10)
        held.append(weakref.ref(tensor))
        inner(tensor)
        return [1]

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: alive.append(held[-1]() is not None))
    assert attempt(work) is None
    assert alive == [False]


def test_an_attempt_that_fits_gives_its_result_and_other_errors_are_raised() -> None:
    assert attempt(list) == []

    def wrong() -> list[int]:
        raise RuntimeError("shapes")

    with pytest.raises(RuntimeError, match="shapes"):
        attempt(wrong)
