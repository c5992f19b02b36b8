"""Whether two data sets hold the same sequences, dialogue for dialogue: before and after a change of the code.

    python -m benchmarks.same_ids BEFORE AFTER

The tables are read as they are, so either may be of another version of duplexgen, which this one would refuse.
"""

import sys
from pathlib import Path

import pyarrow.parquet as pq

SHOWN = 10


def sequences(data_set: Path) -> dict[str, bytes]:
    """`input_ids` of each dialogue, as bytes."""
    found: dict[str, bytes] = {}
    for shard in sorted(data_set.glob("data/*.parquet")):
        for batch in pq.ParquetFile(shard).iter_batches(columns=["dialogue_id", "input_ids"]):
            for dialogue_id, ids in zip(batch["dialogue_id"].to_pylist(), batch["input_ids"], strict=True):
                found[dialogue_id] = ids.values.to_numpy().tobytes()
    if not found:
        sys.exit(f"{data_set} has no dialogues: expected the folder of a data set")
    return found


def main() -> None:
    before, after = (sequences(Path(folder)) for folder in sys.argv[1:3])
    gone, new = sorted(before.keys() - after.keys()), sorted(after.keys() - before.keys())
    other = sorted(name for name in before.keys() & after.keys() if before[name] != after[name])
    print(f"{len(before)} and {len(after)} dialogues: {len(before) - len(gone) - len(other)} have the same ids")
    for what, names in (("only before", gone), ("only after", new), ("with other ids", other)):
        if names:
            print(f"{len(names)} {what}: {', '.join(names[:SHOWN])}{' …' if len(names) > SHOWN else ''}")
    sys.exit(bool(gone or new or other))


if __name__ == "__main__":
    main()
