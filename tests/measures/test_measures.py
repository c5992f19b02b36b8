import builtins
from typing import Any

import numpy as np
import pytest

from duplexgen.pipeline.errors import UserError
from duplexgen.pipeline.measures.judge import MEASURE_HZ, at_measure_rate, needed, versions


def test_a_package_that_is_missing_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__
    for ask in (lambda: needed("no_such_package"), lambda: versions("no-such-package")):
        with pytest.raises(UserError, match=r"no.such.package.*duplexgen\[voices\]"):
            ask()
    assert builtins.__import__ is real


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 48000])
def test_everything_is_heard_at_one_rate_and_within_bounds(rate: int) -> None:
    seconds = np.arange(rate * 2) / rate
    heard = at_measure_rate((1.5 * np.sin(2 * np.pi * 440 * seconds)).astype(np.float32), rate)
    assert heard.dtype == np.float32
    assert abs(len(heard) - 2 * MEASURE_HZ) <= 1
    assert np.abs(heard).max() == 1.0


def test_what_is_no_number_is_silence() -> None:
    values: Any = [np.nan, np.inf, -np.inf, 0.5]
    heard = at_measure_rate(np.array(values, dtype=np.float32), MEASURE_HZ)
    assert heard.tolist() == [0.0, 1.0, -1.0, 0.5]
