"""The dialogues that a build has rejected, with the reason and its detail."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..dataset.ledger import MOST_REJECTED_ROWS
from ..dataset.manifest import REJECTED
from ..dataset.reader import Dataset, malformed, opened
from ..dataset.schema import REJECTED as REJECTED_COLUMNS


@dataclass(frozen=True)
class RejectedTables:
    """Reads the rejected tables when they are asked for. Stages and reasons stay in memory, ids and details do not."""

    dataset: Dataset

    def page(self, stage: str, reason: str, text: str, offset: int, limit: int) -> dict[str, Any]:
        """Rejected dialogues with this stage and reason, or any if "". text: part of an id or a detail.

        Raises UserError if a table is damaged.
        """
        found, rows = 0, []
        for number, of_file in enumerate(self._reasons):
            wanted = np.ones(of_file.num_rows, np.bool_)
            for name, value in (("stage", stage), ("reason", reason)):
                if value:
                    wanted &= pc.equal(of_file[name], value).to_numpy()
            if not wanted.any():
                continue
            first, past = max(0, offset - found), max(0, offset + limit - found)
            if text:
                table = self._read(number, None)
                for name in ("dialogue_id", "detail"):
                    table = table.append_column(
                        f"{name} has it", pc.match_substring(table[name], text, ignore_case=True)
                    )
                wanted &= pc.or_(table["dialogue_id has it"], table["detail has it"]).to_numpy()
            places = np.flatnonzero(wanted)
            if (shown := places[first:past]).size:
                rows += self._read(number, None).take(shown).to_pylist()
            found += len(places)
        return {"rows": rows, "found": found}

    @cached_property
    def _reasons(self) -> list[pa.Table]:
        return [self._read(number, ["stage", "reason"]) for number in range(len(self._files))]

    @cached_property
    def _files(self) -> list[str]:
        return [file.path for file in self.dataset.manifest.listed(REJECTED)]

    def _read(self, number: int, columns: list[str] | None) -> pa.Table:
        path = self.dataset.own(self._files[number])
        with opened(path, REJECTED_COLUMNS) as file:
            if file.metadata.num_rows > MOST_REJECTED_ROWS:
                raise malformed(path, [f"has {file.metadata.num_rows} rows, more than {MOST_REJECTED_ROWS}"])
            table = file.read(columns=columns, use_threads=False)
            table.validate(full=True)
        return table
