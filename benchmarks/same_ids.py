"""Whether two data sets hold the same sequences, dialogue for dialogue: before and after a change of the code.

    python -m benchmarks.same_ids BEFORE AFTER

The tables are read as they are, so either may be of another version of duplexgen, which this one would refuse.
"""

import argparse
import sys
from pathlib import Path

import pyarrow.parquet as pq

SHOWN = 10


def sequences(data_set: Path) -> dict[str, bytes]:
    """`input_ids` of each dialogue, as bytes."""
    ids_by_dialogue: dict[str, bytes] = {}
    for shard in sorted(data_set.glob("data/*.parquet")):
        for batch in pq.ParquetFile(shard).iter_batches(columns=["dialogue_id", "input_ids"]):
            for dialogue_id, ids in zip(batch["dialogue_id"].to_pylist(), batch["input_ids"], strict=True):
                ids_by_dialogue[dialogue_id] = ids.values.to_numpy().tobytes()
    if not ids_by_dialogue:
        sys.exit(f"{data_set} has no dialogues: expected the folder of a data set")
    return ids_by_dialogue


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path, help="compare the data set in this folder")
    parser.add_argument("after", type=Path, help="with the data set in this folder")
    arguments = parser.parse_args()
    before, after = sequences(arguments.before), sequences(arguments.after)
    gone, new = sorted(before.keys() - after.keys()), sorted(after.keys() - before.keys())
    other = sorted(name for name in before.keys() & after.keys() if before[name] != after[name])
    print(f"{len(before)} and {len(after)} dialogues: {len(before) - len(gone) - len(other)} have the same ids")
    for what, names in (("only before", gone), ("only after", new), ("with other ids", other)):
        if names:
            print(f"{len(names)} {what}: {', '.join(names[:SHOWN])}{' …' if len(names) > SHOWN else ''}")
    sys.exit(bool(gone or new or other))


if __name__ == "__main__":
    main()
