import numpy as np
import pytest
import soxr

from duplexgen.pipeline.dialogue import Waveform
from duplexgen.pipeline.errors import DialogueRejected
from duplexgen.pipeline.measures.dnsmos import Dnsmos, fingerprint

speechmos = pytest.importorskip("speechmos.dnsmos", reason="pip install 'duplexgen[voices]'")


@pytest.fixture(scope="module")
def heard(spoken: Waveform) -> Waveform:
    return np.asarray(np.clip(soxr.resample(spoken, 24000, 16000), -1, 1), dtype=np.float32)


@pytest.fixture(scope="module")
def dnsmos() -> Dnsmos:
    return Dnsmos()


def test_the_score_is_that_of_the_package(dnsmos: Dnsmos, heard: Waveform) -> None:
    assert dnsmos.score(heard) == pytest.approx(speechmos.run(heard, 16000)["ovrl_mos"], abs=1e-4)


def test_noise_makes_speech_worse(dnsmos: Dnsmos, heard: Waveform) -> None:
    noise = np.random.Generator(np.random.Philox(0)).normal(0, 0.05, len(heard)).astype(np.float32)
    assert dnsmos.score(heard) > 3.0
    assert dnsmos.score(heard + noise) < 2.5


def test_a_score_does_not_depend_on_what_was_rated_before(dnsmos: Dnsmos, heard: Waveform) -> None:
    first = dnsmos.score(heard)
    dnsmos.score(np.zeros(16000, dtype=np.float32))
    assert dnsmos.score(heard) == first


def test_nothing_has_no_score(dnsmos: Dnsmos) -> None:
    with pytest.raises(DialogueRejected, match="no_audio"):
        dnsmos.score(np.zeros(0, dtype=np.float32))


def test_the_fingerprint_names_the_weights_package() -> None:
    assert set(fingerprint()) == {"speechmos", "onnxruntime"}
