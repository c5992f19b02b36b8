"""What the tests of sources share."""

from pathlib import Path
from typing import Any

from duplexgen.pipeline.dialogue import Rejection
from duplexgen.pipeline.sources.reading import Read, read
from duplexgen.pipeline.sources.section import Source


def row(number: int, **more: Any) -> dict[str, Any]:
    return {"id": f"row-{number}", "data": [f"What is {number}? 你好", "A number."], **more}


def read_all(path: Path, **source: Any) -> tuple[list[str], list[Rejection], list[str]]:
    """Ids of the rows of a file or folder that are dialogues, the rejections of the others, and what is lost."""
    lost: list[str] = []
    given = Source(**({"name": "s", "shape": "ultrachat", "path": str(path)} | source))
    items = list(read(given, path.parent, lost))
    ids = [item.dialogue.id for item in items if isinstance(item, Read)]
    return ids, [item for item in items if isinstance(item, Rejection)], lost
