"""The floor of composing: mix two channels and encode FLAC, nothing else.

    python -m benchmarks.floor

No pipeline that stores its audio can be faster than this on the same machine. Compare figures of a pipeline with it
only if both are measured in one run.
"""

import json
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from duplexgen.pipeline.audio import flac
from duplexgen.pipeline.audio.pcm import to_int16
from duplexgen.pipeline.dialogue import Waveform

UTTERANCES_PER_DIALOGUE = 4
REPLY_DELAY_S = 0.8
NEXT_TURN_GAP_S = 1.75  # the mean of U(0.5, 3.0)
MIN_CPU_S = 5.0
SAMPLE_CORPUS = Path(__file__).parent.parent / "recipes" / "sample" / "ultrachat.jsonl"


def measure_floor(utterances: Sequence[Waveform], sample_rate: int, min_cpu_s: float = MIN_CPU_S) -> float:
    """Hours of dialogue per core-hour of only mixing and FLAC encoding, on one thread.

    utterances: real speech, f32 [samples] each at `sample_rate`, of user and assistant in turn, four per dialogue.
    They are used again until `min_cpu_s` seconds of processor time are over.
    Raises ValueError if there are none.
    """
    starts = range(0, len(utterances), UTTERANCES_PER_DIALOGUE)
    dialogues = [utterances[start : start + UTTERANCES_PER_DIALOGUE] for start in starts]
    if not dialogues:
        raise ValueError("expected at least one utterance")
    encode(mix(dialogues[0], sample_rate), sample_rate)  # the first call loads the encoder
    audio_samples = 0
    started = time.process_time()
    while (spent_s := time.process_time() - started) < min_cpu_s:
        for dialogue in dialogues:
            track = mix(dialogue, sample_rate)
            encode(track, sample_rate)
            audio_samples += len(track)
    return audio_samples / sample_rate / spent_s


def mix(utterances: Sequence[Waveform], sample_rate: int) -> NDArray[np.int16]:
    """Two channels [samples, 2], user and assistant taking turns."""
    gaps = (round(REPLY_DELAY_S * sample_rate), round(NEXT_TURN_GAP_S * sample_rate))
    length = sum(len(utterance) + gaps[turn % 2] for turn, utterance in enumerate(utterances))
    track = np.zeros((length, 2), dtype=np.int16)
    cursor = 0
    for turn, utterance in enumerate(utterances):
        end = cursor + len(utterance)
        track[cursor:end, turn % 2] = to_int16(utterance)
        cursor = end + gaps[turn % 2]
    return track


def encode(track: NDArray[np.int16], sample_rate: int) -> bytes:
    """FLAC of a track [samples, 2], 16 bit, libsndfile's default compression."""
    return flac.encode(track, sample_rate)


def kokoro_utterances(count: int) -> list[Waveform]:
    """Replies of the sample corpus without a digit or a symbol, as Kokoro speaks them, 24 kHz, in several voices."""
    from duplexgen.pipeline.errors import DialogueRejected
    from duplexgen.pipeline.speech.engine import SpeechRequest
    from duplexgen.pipeline.speech.kokoro import Kokoro

    engine = Kokoro()
    engine.load()
    voices = sorted(name for name, voice in engine.voices().items() if "en" in voice.languages)
    waveforms: list[Waveform] = []
    for line in SAMPLE_CORPUS.read_text("utf-8").splitlines():
        for text in json.loads(line)["data"]:
            result = engine.speak([SpeechRequest(text, voices[len(waveforms) % len(voices)], "en", seed=0)])[0]
            if not isinstance(result, DialogueRejected):
                waveforms.append(result.waveform)
            if len(waveforms) == count:
                return waveforms
    return waveforms


def main() -> None:
    import soxr

    waveforms = kokoro_utterances(12)
    print("mix + FLAC alone, two channels, one thread: audio-hours of dialogue per core-hour")
    for sample_rate in (24000, 16000):
        utterances = [soxr.resample(waveform, 24000, sample_rate) for waveform in waveforms]
        print(f"  {sample_rate / 1000:g} kHz  {measure_floor(utterances, sample_rate):8,.0f}", flush=True)


if __name__ == "__main__":
    main()
