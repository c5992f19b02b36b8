"""The notebook that ships, run cell by cell as Jupyter would run it."""

import json
import re
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pytest

from benchmarks.replay import ROOT

NOTEBOOK = ROOT / "recipes" / "look_and_listen.ipynb"


@pytest.mark.usefixtures("ray_session")
def test_each_cell_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shell_module = pytest.importorskip("IPython.core.interactiveshell", reason="IPython comes with the extra `test`")
    monkeypatch.chdir(tmp_path)
    mpl.use("agg")
    cells: list[dict[str, Any]] = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    assert not any(cell.get("outputs") for cell in cells), "it ships without outputs"
    shell = shell_module.InteractiveShell()
    results = []
    for cell in cells:
        if cell["cell_type"] == "code":
            source = re.sub(r"limit=\d+", "limit=2", "".join(cell["source"]))
            ran = shell.run_cell(source)
            ran.raise_error()
            results.append(ran.result)
    dataset, *_, batch = results
    assert len(dataset) == 2 and [*batch["input_ids"]] == [*batch["labels"]] == [*batch["weights"]]
    sound = next(result for result in results if type(result).__name__ == "Audio")
    assert len(sound.data) > 100_000
