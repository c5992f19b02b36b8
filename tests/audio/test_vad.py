import numpy as np
import soundfile
import soxr

from benchmarks import replay
from duplexgen.pipeline.audio import vad


def test_the_detector_hears_speech_and_starts_anew_after_a_reset() -> None:
    spoken, rate = soundfile.read(replay.RECORDING, dtype="float32")
    heard = soxr.resample(spoken, rate, vad.RATE_HZ)[: 100 * vad.FRAME_SAMPLES].reshape(-1, vad.FRAME_SAMPLES)
    detector = vad.detector()
    runs = []
    for _ in range(2):
        detector.reset()
        runs.append([detector.probability(frame) for frame in heard])
        assert [detector.probability(np.zeros(vad.FRAME_SAMPLES, np.float32)) for _ in range(20)][-1] < 0.1
    assert runs[0] == runs[1]
    assert np.mean(np.array(runs[0]) > 0.5) > 0.7
