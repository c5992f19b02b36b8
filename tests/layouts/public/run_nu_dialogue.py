"""What nu-dialogue/moshi-finetune's `preprocess_function` makes of both sides of a dialogue.

Runs in the environment of the clones: run_nu_dialogue.py CLONES GIVEN.json RETURNED.json
"""

import json
import sys
from pathlib import Path


def main(clones: Path, given: Path, returned: Path) -> None:
    sys.path.insert(0, str(clones / "nu-dialogue"))
    from utils.data import preprocess_function

    asked = json.loads(given.read_text())
    answers = {}
    for name, sides in asked["examples"].items():
        made = preprocess_function(
            {"dialogue_id": [name], "A": [sides["A"]], "B": [sides["B"]]},
            speakers=["A", "B"],
            max_length=None,
            min_length=None,
            delays=[0, *([0] + [1] * 7) * 2],
            initial_token_ids=[asked["initial"], *[asked["audio_pad"]] * 16],
            padding_token_ids=[asked["pad"], *[asked["audio_pad"]] * 16],
            zero_token_id=-1,
        )
        answers[name] = {
            speaker: {"streams": made["streams"][index].tolist(), "labels": made["labels"][index].tolist()}
            for index, speaker in enumerate("AB")
        }
    returned.write_text(json.dumps(answers))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
