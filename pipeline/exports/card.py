"""What every export has beside its data: a README.md with the licence, the card of the data set, and export.json."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from ..dataset.card import dialogues_front_matter
from ..dataset.manifest import CARD
from ..dataset.reader import LARGEST_JSON_BYTES, Dataset
from ..dataset.vocabulary import read_vocabulary
from ..errors import UserError
from ..escapes import code, markdown, one_line
from ..storage.atomic import write_json
from ..storage.paths import read_bytes

ABOUT = "export.json"
CARD_FOLDER = "dataset_card"
LARGEST_CARD_BYTES = 16_000_000
GUIDES = Path(__file__).with_name("README.md")
README = """---
{front_matter}
---

# {name}, for {exporter}

{rows:,} rows of the data set {name} ({kind}), which `duplexgen export` wrote for {exporter}. Licence: {license}.
Its card, with statistics and the origin of the text, is in [{folder}/README.md]({folder}/README.md).

{text}
{left_out}"""
LEFT_OUT = """
## Rows that were left out

{reasons}
"""


def finished(out: Path, about: Mapping[str, Any]) -> dict[str, Any] | None:
    """What export.json of a finished export says; None if there is nothing at `out`, or an empty folder.

    about: exporter, version and data set. Raises UserError if there is anything else.
    """
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return None
    try:
        stored = json.loads(read_bytes(out / ABOUT, LARGEST_JSON_BYTES))
        is_own = about.items() <= stored.items() and stored.keys() >= {"rows", "left_out"}
    except (OSError, ValueError, AttributeError):
        is_own = False
    if not is_own:
        raise UserError(
            f"{out} holds something else than this export. It was left as it is: choose another folder with --out, or "
            "remove it."
        )
    return dict(stored)


def write(dataset: Dataset, front_matter: Mapping[str, Any], about: Mapping[str, Any], out: Path) -> None:
    """Write README.md, the card of the data set, and export.json.

    front_matter: of README.md, beside the licence. about: what export.json says.
    """
    manifest = dataset.manifest
    recipe = manifest.made_of.model_dump(mode="json")
    front = dialogues_front_matter(recipe) | {"pretty_name": f"{one_line(manifest.name)} for {about['exporter']}"}
    reasons = "".join(f"- {count:,}: {reason}\n" for reason, count in sorted(about["left_out"].items()))
    text = README.format(
        front_matter=yaml.safe_dump({**front, **front_matter}, sort_keys=False, allow_unicode=True).strip(),
        name=markdown(manifest.name),
        exporter=about["exporter"],
        rows=about["rows"],
        kind=manifest.kind,
        license=code(recipe["license"]),
        folder=CARD_FOLDER,
        text=_section(about["exporter"]),
        left_out=LEFT_OUT.format(reasons=reasons.strip()) if reasons else "",
    )
    (out / CARD).write_text(text, encoding="utf-8")
    for file in [CARD, *(file.path for file in manifest.listed("plots/"))]:
        target = out / CARD_FOLDER / file
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(read_bytes(dataset.own(file), LARGEST_CARD_BYTES))
    write_json(out / ABOUT, {**about, "data_set": manifest.name, "kind": manifest.kind, "license": recipe["license"]})


def _section(exporter: str) -> str:
    """What the README.md of this room says of an exporter: what there is, and what a user writes next."""
    _, _, after = GUIDES.read_text(encoding="utf-8").partition(f"\n## {exporter}\n")
    return after.partition("\n## ")[0].strip()


def copy_vocabulary(dataset: Dataset, out: Path) -> None:
    """Write vocabulary/, a tokenizer that transformers loads, and vocabulary.json."""
    for file, content in read_vocabulary(dataset.path).items():
        (out / file).parent.mkdir(exist_ok=True)
        (out / file).write_bytes(content)
