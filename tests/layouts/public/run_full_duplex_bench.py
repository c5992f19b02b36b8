"""What Full-Duplex-Bench's own scorers say of folders of its tasks. In place of its judge stands one that says 5.

Runs in the environment of the clones: run_full_duplex_bench.py CLONES GIVEN.json RETURNED.json
"""

import contextlib
import io
import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace


def judge() -> SimpleNamespace:
    says = "Analysis: none.\nI would rate the AI's response as 5"
    answer = SimpleNamespace(choices=[SimpleNamespace(message=SimpleNamespace(content=says))])
    return SimpleNamespace(chat=SimpleNamespace(completions=SimpleNamespace(create=lambda **_: answer)))


def main(clones: Path, given: Path, returned: Path) -> None:
    sys.path.insert(0, str(clones / "full-duplex-bench/v1_v1.5/evaluation"))
    from eval_pause_handling import eval_pause_handling
    from eval_smooth_turn_taking import eval_smooth_turn_taking
    from eval_user_interruption import eval_user_interruption

    scorers = {
        "smooth_turn_taking": eval_smooth_turn_taking,
        "pause_handling": eval_pause_handling,
        "user_interruption": lambda folder: eval_user_interruption(folder, judge()),
    }
    answers = {}
    for task, folder in json.loads(given.read_text()).items():
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            scorers[task](folder)
        answers[task] = {
            name: float(value) for name, value in re.findall(r"Average (.+?): +([-0-9.e]+)", said.getvalue())
        }
    returned.write_text(json.dumps(answers))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
