import io

import numpy as np
import pytest
import soundfile

from duplexgen.pipeline.audio import flac

RATE = 16000
TRACK = np.random.Generator(np.random.Philox(0)).integers(-32768, 32768, (RATE, 2)).astype(np.int16)


def test_integers_come_back() -> None:
    assert np.array_equal(flac.decode_checked(flac.encode(TRACK, RATE), RATE, 2, 1.0), TRACK)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (None, "cannot be decoded"),
        (b"fLaC", "cannot be decoded"),
        (flac.encode(TRACK, RATE)[:5000], "cannot be decoded|samples, and says"),
        (flac.encode(TRACK[:, 0], RATE), r"is \(16000, 1\) at 16000 Hz, expected \(16000, 2\)"),
        (flac.encode(TRACK, 24000), "at 24000 Hz"),
        (flac.encode(np.tile(TRACK, (2, 1)), RATE), "is longer than 1"),
    ],
    ids=["nothing", "a header", "cut off", "one channel", "another rate", "too long"],
)
def test_what_was_not_expected_is_refused(data: bytes | None, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        flac.decode_checked(data, RATE, 2, 1.0)


def test_another_format_and_another_length_are_refused() -> None:
    wav = io.BytesIO()
    soundfile.write(wav, TRACK, RATE, format="WAV")
    with pytest.raises(ValueError, match="is WAV, expected FLAC"):
        flac.decode_checked(wav.getvalue(), RATE, 2, 1.0)
    with pytest.raises(ValueError, match="expected \\(15999, 2\\)"):
        flac.decode_checked(flac.encode(TRACK, RATE), RATE, 2, 1.0, num_samples=15999)
