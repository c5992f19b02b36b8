"""Fit the embedded speech tokenizer, in two steps.

    python -m duplexgen.pipeline.assets.fit_melvq speak --tables kokoro-js/voices --work WORK
    python -m duplexgen.pipeline.assets.fit_melvq fit --work WORK

`speak` lets the voices of kokoro-js 1.2.1 say sentences of chitchat-dataset 0.9.0: 23 minutes of audio to fit
on, and other sentences by other voices to measure on. If it is stopped, the same command continues it. `fit` writes
pipeline/tokens/speech/melvq.npz: the same audio gives the same numbers.
"""

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..audio import pcm
from ..tokens.speech import mel
from ..tokens.speech.melvq import SILENT, WEIGHTS, Codebook, MelVQ, Projector, dequantize, neighbourhoods, quantize
from . import chitchat

SEED = 0
WHISPERS = "af_nicole"
HELD_OUT_VOICES = ("af_kore", "am_liam", "bf_lily", "bm_george", "pm_alex", "jf_alpha")
SENTENCES_PER_VOICE = 6
HELD_OUT_SENTENCES_PER_VOICE = 6

RENDITIONS = 4  # per utterance, each moved by some samples, so that codes depend less on the alignment
LOUDNESS_LUFS = -23.0
LEVEL_JITTER_DB = 3.0
NOISY_SHARE = 0.3
NOISE_DB = (-90.0, -60.0)  # below full scale

DIMENSIONS = 64
RADIUS = 2000.0  # of the features, which are whole numbers; `fit` checks that sums stay below 2^24
SOUNDING = 0.5  # a frame counts as speech from this mean log power above the floor on
ITERATIONS = 15  # of k-means
RIDGE = 1.0


def speak(tables: Path, work: Path) -> None:
    """Write WORK/fit and WORK/held_out: FLAC at 16 kHz, one file per sentence, and its text beside it."""
    import soundfile
    import soxr

    from ..speech.kokoro import Kokoro

    engine = Kokoro()
    engine.load()
    names = sorted(path.stem for path in tables.glob("*.bin") if path.stem != WHISPERS)
    parts: tuple[tuple[chitchat.Split, list[str], int], ...] = (
        ("held_out", [name for name in names if name in HELD_OUT_VOICES], HELD_OUT_SENTENCES_PER_VOICE),
        ("fit", [name for name in names if name not in HELD_OUT_VOICES], SENTENCES_PER_VOICE),
    )
    for split, voices, each in parts:
        (work / split).mkdir(parents=True, exist_ok=True)
        sentences = chitchat.sentences(split)[: each * len(voices)]
        for number, text in enumerate(sentences):
            voice = voices[number % len(voices)]
            target = work / split / f"{number:04d}_{voice}.flac"
            if target.exists():
                continue
            style = np.fromfile(tables / f"{voice}.bin", "<f4").reshape(-1, 256)[40:200].mean(0)
            waveform = soxr.resample(engine.synthesize(text, style).waveform, engine.sample_rate, mel.SAMPLE_RATE)
            target.with_suffix(".txt").write_text(text + "\n", "utf-8")
            soundfile.write(target, waveform, mel.SAMPLE_RATE, subtype="PCM_16")


def utterances(folder: Path) -> list[tuple[str, NDArray[np.float64]]]:
    """Texts and waveforms that `speak` wrote, in order of number. Waveforms are f64 [samples] at -23 LUFS."""
    import pyloudnorm
    import soundfile

    meter = pyloudnorm.Meter(mel.SAMPLE_RATE)
    pairs = []
    for path in sorted(folder.glob("*.flac")):
        waveform, _ = soundfile.read(path)
        gain_db = LOUDNESS_LUFS - meter.integrated_loudness(waveform)
        pairs.append((path.with_suffix(".txt").read_text("utf-8").strip(), waveform * 10 ** (gain_db / 20)))
    return pairs


def track(waveform: NDArray[np.float64], lead_samples: int, tail_samples: int) -> NDArray[np.int16]:
    """The waveform with silence around it, [samples], a whole number of frames."""
    padded = np.pad(waveform, (lead_samples, tail_samples))
    padded = np.pad(padded, (0, -len(padded) % mel.FRAME_SAMPLES))
    return pcm.to_int16(padded)


def varied(waveforms: list[NDArray[np.float64]], random: np.random.Generator) -> list[NDArray[np.int16]]:
    """Tracks to fit on: each waveform from several sample offsets, at several levels, some in low noise."""
    tracks = []
    for waveform in waveforms * RENDITIONS:
        samples = track(waveform, int(random.integers(mel.FRAME_SAMPLES)), mel.FRAME_SAMPLES) / pcm.FULL_SCALE
        samples *= 10 ** (random.uniform(-LEVEL_JITTER_DB, LEVEL_JITTER_DB) / 20)
        if random.random() < NOISY_SHARE:
            samples += random.standard_normal(len(samples)) * 10 ** (random.uniform(*NOISE_DB) / 20)
        tracks.append(track(samples, 0, 0))
    return tracks


def fit(waveforms: list[NDArray[np.float64]]) -> dict[str, NDArray[np.generic]]:
    """The arrays of melvq.npz."""
    random = np.random.Generator(np.random.Philox(SEED))
    tracks = varied(waveforms, random)
    frames = np.concatenate(tracks).reshape(-1, mel.FRAME_SAMPLES)
    projector = fit_projector(frames)
    features = in_blocks(projector, frames)
    silence = projector(np.zeros((1, mel.FRAME_SAMPLES), np.int16))

    total = ((features - features.mean(axis=0)) ** 2).sum()
    residual, books = features.copy(), []
    for k in range(MelVQ.codebooks):
        # silence has an entry of its own, and the later codebooks do not change it
        books.append(k_means(residual, silence if k == 0 else np.zeros_like(silence), random))
        residual -= books[-1][in_blocks(Codebook(books[-1]).nearest, residual)]
        print(f"codebook {k}: {(residual**2).sum() / total:.4f} of the variance left", flush=True)
    entries = np.stack(books)
    check_exact(entries)

    codes = in_blocks(partial(quantize, books=[Codebook(book) for book in books]), features)
    return {
        "mean": projector.mean,
        "projection": projector.projection,
        "radius": np.array(projector.radius),
        "entries": entries.astype(np.int16),
        "decoders": fit_decoders(codes, entries, tracks).astype(np.float16),
    }


def fit_projector(frames: NDArray[np.int16]) -> Projector:
    """Principal axes of the frames that are not silent, scaled so that the longest feature has the length RADIUS."""
    spectra = in_blocks(mel.log_mel, frames)
    sounding = spectra[spectra.mean(axis=1) > SOUNDING]
    mean = sounding.mean(axis=0)
    _, axes = np.linalg.eigh(np.cov(sounding.T))
    axes = axes[:, ::-1][:, :DIMENSIONS]
    axes *= np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(DIMENSIONS)])  # the sign of an axis is arbitrary
    longest = np.linalg.norm((spectra - mean) @ axes, axis=1).max()
    return Projector(mean, np.ascontiguousarray(axes) * (RADIUS / longest), RADIUS)


def k_means(rows: NDArray[np.float32], fixed: NDArray[np.float32], random: np.random.Generator) -> NDArray[np.float32]:
    """A codebook [codebook_size, dims] of whole numbers. Its first entry is `fixed` [1, dims]. Sums are exact."""
    size = MelVQ.codebook_size
    book = np.concatenate([fixed, rows[np.sort(random.choice(len(rows), size - 1, replace=False))]])
    for _ in range(ITERATIONS):
        labels = in_blocks(Codebook(book).nearest, rows)
        counts = np.bincount(labels, minlength=size)
        sums = np.zeros((size, rows.shape[1]))
        np.add.at(sums, labels, rows)
        means = np.rint(sums / np.maximum(counts, 1)[:, np.newaxis]).astype(np.float32)
        errors = ((rows - book[labels]) ** 2).sum(axis=1)
        unused = np.flatnonzero(counts == 0)
        means[unused] = rows[np.argsort(-errors, kind="stable")[: len(unused)]]  # the rows with the largest errors
        book = means
        book[SILENT] = fixed[0]
    return book


def check_exact(entries: NDArray[np.float32]) -> None:
    """Raise ValueError unless every partial sum in `Codebook.nearest` is below 2^24 for any input."""
    longest = np.linalg.norm(entries.astype(np.float64), axis=2).max(axis=1)
    residual = RADIUS + np.sqrt(DIMENSIONS)  # rounding adds less than one per dimension
    for k, length in enumerate(longest):
        if 2 * residual * length + length**2 >= 2**24:
            raise ValueError(f"codebook {k}: sums reach 2^24, lower RADIUS")
        if k == 0:  # no farther from the nearest entry than from silence; every later codebook has a zero entry
            residual += longest[0]


def fit_decoders(
    codes: NDArray[np.int16], entries: NDArray[np.float32], tracks: list[NDArray[np.int16]]
) -> NDArray[np.float64]:
    """Ridge regressions from neighbourhoods of entries to spectra of the signal: one for each of 1 … 8 codebooks."""
    targets = np.concatenate([mel.spectra(samples).reshape(-1, mel.SPECTRA * mel.TONES) for samples in tracks])
    sounding = targets.mean(axis=1) > SOUNDING
    ends = np.cumsum([len(samples) // mel.FRAME_SAMPLES for samples in tracks])[:-1]
    decoders = []
    for used in range(1, MelVQ.codebooks + 1):
        pieces = np.split(dequantize(codes[:, :used], entries), ends)
        inputs = np.concatenate([neighbourhoods(piece, entries[0, SILENT]) for piece in pieces]).astype(np.float64)
        gram = inputs.T @ inputs + RIDGE * np.eye(inputs.shape[1])
        decoder = np.linalg.solve(gram, inputs.T @ targets)
        # the mean of logarithms is below the logarithm of the mean: half the variance restores the power
        decoder[-1] += (targets - inputs @ decoder)[sounding].var(axis=0) / 2
        decoders.append(decoder)
    return np.stack(decoders)


def in_blocks(function: Callable[[NDArray[Any]], NDArray[Any]], rows: NDArray[Any]) -> NDArray[Any]:
    """`function` over all rows, block by block: all spectra at once would not fit into memory."""
    return np.concatenate([function(rows[start : start + 1024]) for start in range(0, len(rows), 1024)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=("speak", "fit"))
    parser.add_argument(
        "--tables", type=Path, help="Read the voices from this folder of kokoro-js 1.2.1 (only `speak`)."
    )
    parser.add_argument("--work", type=Path, required=True, help="Write the audio to this folder, or read it there.")
    parser.add_argument("--out", type=Path, default=WEIGHTS, help="Write the arrays to this file (only `fit`).")
    options = parser.parse_args()
    if options.step == "speak" and options.tables is None:
        parser.error("speak needs --tables")
    if options.step == "speak":
        speak(options.tables, options.work)
        return
    arrays = fit([waveform for _, waveform in utterances(options.work / "fit")])
    np.savez(options.out, allow_pickle=False, **arrays)
    print(f"wrote {options.out} ({options.out.stat().st_size:,} bytes)")


if __name__ == "__main__":
    main()
