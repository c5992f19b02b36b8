import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from duplexgen.pipeline.audio import flac
from duplexgen.pipeline.audio.pcm import to_float, to_int16

SAMPLES = np.arange(-32768, 32768, dtype=np.int16)
WAVEFORMS = arrays(np.float32, 64, elements=st.floats(-2, 2, width=32))


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_every_sample_comes_back(kind: type) -> None:
    floats = to_float(SAMPLES)
    assert floats.dtype == np.float32 and floats.min() == -1 and floats.max() < 1
    assert np.array_equal(to_int16(floats.astype(kind)), SAMPLES)


@given(WAVEFORMS)
def test_flac_is_written_and_read_at_the_same_scale(waveform: np.ndarray) -> None:
    assert np.array_equal(flac.decode(flac.encode(waveform, 16000)), to_float(to_int16(waveform)))


def test_what_is_too_loud_is_clipped() -> None:
    loud = np.array([[1.5, 1.0], [-1.0, -1.5]])
    assert to_int16(loud).tolist() == [[32767, 32767], [-32768, -32768]]
