"""What Full-Duplex-Bench's own scorers say of folders of its tasks. In place of its judge stands one that says 5.

In place of Silero VAD, of "backchannel" and "timing", stand segments beside a recording: output.segments.json.

Runs in the environment of the clones: run_full_duplex_bench.py CLONES GIVEN.json RETURNED.json
"""

import contextlib
import io
import json
import re
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any


def judge() -> SimpleNamespace:
    says = "Analysis: none.\nI would rate the AI's response as 5"
    answer = SimpleNamespace(choices=[SimpleNamespace(message=SimpleNamespace(content=says))])
    return SimpleNamespace(chat=SimpleNamespace(completions=SimpleNamespace(create=lambda **_: answer)))


def hear_segments() -> None:
    """Put modules in place of torchaudio and silero_vad, which find the segments that are given, in seconds."""
    import soundfile

    heard: list[Path] = []

    def load(path: str | Path) -> tuple[Any, int]:
        heard.append(Path(path))
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
        return samples.T, rate

    def segments(scale: float) -> list[dict[str, float]]:
        found = json.loads(heard[-1].with_suffix(".segments.json").read_text())
        return [{"start": start * scale, "end": end * scale} for start, end in found]

    audio, vad = ModuleType("torchaudio"), ModuleType("silero_vad")
    audio.load = load  # type: ignore[attr-defined]
    vad.load_silero_vad = lambda: None  # type: ignore[attr-defined]
    vad.get_speech_timestamps = lambda *_, **__: segments(1)  # type: ignore[attr-defined]
    vad.VoiceActivityDetector = lambda sample_rate: SimpleNamespace(  # type: ignore[attr-defined]
        get_speech_ts=lambda _: segments(sample_rate)
    )
    sys.modules |= {"torchaudio": audio, "silero_vad": vad}


def timing(folder: str) -> None:
    from get_timing import process_folder

    for item in Path(folder).iterdir():
        process_folder(item)


def backchannel(folder: str) -> None:
    from eval_backchannel import eval_backchannel

    eval_backchannel(folder)


def main(clones: Path, given: Path, returned: Path) -> None:
    scripts = clones / "full-duplex-bench/v1_v1.5/evaluation"
    sys.path.insert(0, str(scripts))
    hear_segments()
    from eval_pause_handling import eval_pause_handling
    from eval_smooth_turn_taking import eval_smooth_turn_taking
    from eval_user_interruption import eval_user_interruption

    scorers = {
        "smooth_turn_taking": eval_smooth_turn_taking,
        "pause_handling": eval_pause_handling,
        "user_interruption": lambda folder: eval_user_interruption(folder, judge()),
        "backchannel": backchannel,
        "timing": timing,
    }
    answers = {}
    for task, folder in json.loads(given.read_text()).items():
        said = io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.chdir(scripts):  # where icc_gt_distribution.json is
            scorers[task](folder)
        figures = re.findall(r"^(?:Average (.+?)|(\w+) - Mean): +([-0-9.e]+)", said.getvalue(), re.MULTILINE)
        answers[task] = {average or mean: float(value) for average, mean, value in figures}
    returned.write_text(json.dumps(answers))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
