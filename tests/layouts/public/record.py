"""Record what the public programs consume: DUPLEXGEN_PUBLIC=FOLDER python -m tests.layouts.public.record [PROGRAM…]"""

import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.layouts.public import test_bayling, test_flm_audio, test_moshi
from tests.layouts.public.programs import HERE, run

PROGRAMS: dict[str, tuple[Callable[[Path], Any], tuple[str, ...]]] = {
    "flm_audio": (lambda _: test_flm_audio.asked(), ("flm-audio",)),
    "bayling": (test_bayling.asked, test_bayling.CLONES),
    "moshi": (lambda _: test_moshi.asked_of_moshi(), ("moshi",)),
    "moshi_finetune": (test_moshi.asked_of_finetune, ("moshi", "moshi-finetune")),
    "nu_dialogue": (lambda _: test_moshi.asked_of_nu_dialogue(), ("nu-dialogue",)),
}
"""What each program is asked, given a folder, and the clones it needs."""


def lines(value: Any, indent: str = "") -> str:
    """JSON with a line per stream."""
    if isinstance(value, dict):
        parts = [f"{indent} {json.dumps(key)}: {lines(each, indent + ' ')}" for key, each in value.items()]
        return "{\n" + ",\n".join(parts) + f"\n{indent}}}"
    if isinstance(value, list) and any(isinstance(each, list) for each in value):
        return "[\n" + ",\n".join(f"{indent} {json.dumps(each)}" for each in value) + f"\n{indent}]"
    return json.dumps(value)


def main() -> None:
    """Of the programs that are named, or of all."""
    for program in sys.argv[1:] or PROGRAMS:
        asked, needs = PROGRAMS[program]
        with tempfile.TemporaryDirectory() as folder:
            returned = run(program, Path(folder), asked(Path(folder)), *needs)
        (HERE / "numbers" / f"{program}.json").write_text(lines(returned) + "\n")


if __name__ == "__main__":
    main()
