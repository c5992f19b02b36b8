"""What nu-dialogue/moshi-finetune's `preprocess_function` makes of both sides of a dialogue.

Runs in the environment of the clones: run_nu_dialogue.py CLONES GIVEN.json RETURNED.json
"""

import json
import sys
from pathlib import Path


def unlabelled(streams, labels) -> list:
    """The streams and the columns of cells whose label is -1; all others are their own labels."""
    assert ((labels == streams) | (labels == -1)).all()
    return [indices.tolist() for indices in (labels == -1).nonzero()]


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
            speaker: {"streams": streams.tolist(), "without a label": unlabelled(streams, labels)}
            for speaker, streams, labels in zip("AB", made["streams"], made["labels"], strict=True)
        }
    returned.write_text(json.dumps(answers))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
