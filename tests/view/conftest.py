"""Data sets of several kinds, a server over each, and a browser that drives its page."""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from duplexgen.pipeline.commands.build import build, prepare
from duplexgen.pipeline.dataset.reader import Dataset
from duplexgen.pipeline.dataset.recipe import Recipe
from duplexgen.pipeline.pairs.build import build as build_pairs
from duplexgen.pipeline.show.progress import Display
from duplexgen.pipeline.view.server import Server
from duplexgen.pipeline.view.viewer import Viewer
from tests.corpus import TURNS, recipe_dict, run_stages
from tests.pairs.conftest import pairs_recipe
from tests.serving import running

Row = dict[str, Any]
Sets = Callable[[str], Path]
EFFECTS = [{"effect": "gain"}, {"effect": "leak", "probability": 1.0}, {"effect": "noise"}]
BURSTS = {"effect": "bursts", "per_minute": 60.0}
RECIPES: dict[str, dict[str, Any]] = {
    "noisy": {"timing": {"scenario": "interruption"}, "acoustics": [*EFFECTS, BURSTS]},
    "natural": {"timing": {"scenario": "natural", "reply_delay_s": 0.8}, "events": {}},
    "streams": {"layout": {"name": "flm"}, "output": {"audio": "none"}},
    "moshi": {"layout": {"name": "moshi"}},
}
UNSPEAKABLE = {"id": "code", "data": ["What does this do?", "```python\nprint(1)\n```"]}


@pytest.fixture(scope="session")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Sets:
    """A data set of RECIPES by its name, four dialogues of which one is rejected; `pairs` are those of `noisy`."""
    folder = tmp_path_factory.mktemp("sets")
    corpus = folder / "talk.jsonl"
    lines = [{"id": f"talk/{number}", "data": TURNS[: 4 + 2 * (number % 2)]} for number in range(3)]
    corpus.write_text("".join(json.dumps(line) + "\n" for line in [*lines, UNSPEAKABLE]), encoding="utf-8")

    def make(name: str) -> Path:
        out = folder / name
        if out.exists():
            return out
        if name == "pairs":
            build_pairs(pairs_recipe(), make("noisy"), out, folder / "work", Display())
            return out
        recipe = Recipe.model_validate(recipe_dict(corpus) | {"name": name} | RECIPES[name])
        run_stages(prepare(recipe, Path("/"), folder / "work", None, Display()))
        build(recipe, Path("/"), out, folder / "work", None, Display())
        return out

    return make


def rewritten(folder: Path, out: Path, change: Callable[[Row], None], group_rows: int | None = None) -> Path:
    """A copy of a data set whose rows are changed; the manifest says the new size of the shard."""
    shutil.copytree(folder, out)
    (shard,) = Dataset(out).shards
    table = pq.read_table(shard)
    rows = table.to_pylist()
    for row in rows:
        change(row)
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), shard, row_group_size=group_rows)
    stored = json.loads((out / "manifest.json").read_text())
    (entry,) = (file for file in stored["files"] if file["path"].startswith("data/"))
    entry["bytes"] = shard.stat().st_size
    (out / "manifest.json").write_text(json.dumps(stored))
    return out


@contextmanager
def serving(folder: Path) -> Iterator[Server]:
    """The viewer of a data set on any port that is free."""
    with running(Server(Viewer(folder), 0)) as server:
        yield server


@pytest.fixture(scope="session")
def servers(sets: Sets) -> Iterator[Callable[[str], Server]]:
    """A server over each of `sets`."""
    running: dict[str, Any] = {}

    def serve(name: str) -> Server:
        if name not in running:
            manager = serving(sets(name))
            running[name] = manager, manager.__enter__()
        server: Server = running[name][1]
        return server

    yield serve
    for manager, _ in running.values():
        manager.__exit__(None, None, None)


def get(server: Server, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
    """Status, headers with lower-case names, and body. headers: with _ for -; Host is the server's if not given."""
    connection = HTTPConnection("127.0.0.1", server.port, timeout=60)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.putrequest(method, path, skip_host="Host" in named)
    for name, value in named.items():
        connection.putheader(name, value)
    connection.endheaders()
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}, body


def ask(server: Server, path: str) -> dict[str, Any]:
    status, _, body = get(server, path)
    answer: dict[str, Any] = json.loads(body)
    assert status == 200, answer
    return answer
