"""Exporters by name: each writes a data set as one consumer reads it. To add one, write a module and put it here."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..dataset.files import missing_files
from ..dataset.manifest import DATA, File, key_of
from ..dataset.reader import SUCCESS, Dataset
from ..errors import UserError
from ..storage.atomic import file_sha256, locked
from ..storage.places import check_out, is_inside
from . import card
from .committed import WHOLE, Staging, shard_name
from .croissant import Croissant
from .exporter import Exporter, Report, Shard
from .full_duplex_bench import FullDuplexBench
from .j_moshi import JMoshi
from .llama_factory import LlamaFactory
from .moshi import MoshiFinetune
from .needs import lacks
from .shar import Shar
from .trl import TRL
from .webdataset import WebDataset

EXPORTERS: dict[str, type[Exporter]] = {
    exporter.name: exporter
    for exporter in (TRL, LlamaFactory, MoshiFinetune, JMoshi, Shar, WebDataset, Croissant, FullDuplexBench)
}
"""By name, in the order in which the help lists them."""
MOST_FAILURES = 5


@dataclass(frozen=True)
class Exported:
    """An export that is finished."""

    rows: int
    left_out: dict[str, int]
    """How many rows of the data set the format cannot say, by reason."""
    is_new: bool  # False: it was there already


def export(dataset: Dataset, name: str, out: Path, report: Report = lambda rows: None) -> Exported:
    """Write a data set to the folder `out`, shard by shard; continue if it was stopped before.

    Raises UserError, before anything is written, if there is no such exporter, if the data set lacks what it needs or
    is not whole, or if `out` holds something else. Raises it later at a shard or a row that is damaged, or if the disk
    is full; shards that are committed stay, and the same call continues from there.
    """
    if name not in EXPORTERS:
        raise UserError(f"there is no exporter {name!r}: expected one of {', '.join(sorted(EXPORTERS)) or 'none'}.")
    exporter = EXPORTERS[name]()
    _check_places(dataset, out)
    if failures := [*_first(missing_files(dataset))]:
        raise UserError(f"{dataset.path} is not what was built: {'; '.join(failures)}. Build or copy it again.")
    if missing := [*lacks(dataset, exporter)]:
        raise UserError(f"{dataset.path} cannot be exported as {name}: " + "; ".join(missing) + ".")
    about = {"exporter": name, "version": exporter.version, "manifest_sha256": dataset.success.manifest_sha256}
    with locked(out.parent / f".{out.name}.lock", f"{out} is being written by another process"):
        if (stored := card.finished(out, about)) is not None:
            return Exported(stored["rows"], stored["left_out"], is_new=False)
        return _write(dataset, exporter, Staging(out.parent / f".{out.name}.{key_of(about)}"), about, out, report)


def _write(
    dataset: Dataset, exporter: Exporter, staging: Staging, about: dict[str, Any], out: Path, report: Report
) -> Exported:
    files = dataset.manifest.listed(DATA)
    records, rows, left_out = staging.open(len(files)), 0, Counter[str]()
    for number, file in enumerate(files):
        record = records.get(number)
        if record is None:
            shard = Shard(dataset, dataset.own(file.path), number, len(files), rows, file.rows or 0, report)
            record = _write_shard(exporter, staging, shard, file)
        rows += file.rows or 0
        left_out.update(record["left_out"])
        report(rows)
    summaries = (record["summary"] for record in staging.records(len(files)))
    exported = Exported(rows - left_out.total(), dict(left_out), is_new=True)
    with staging.writing() as folder:
        front_matter = exporter.finish(dataset, summaries, folder)
        card.write(dataset, front_matter, about | {"rows": exported.rows, "left_out": exported.left_out}, folder)
    staging.commit(WHOLE, {})
    staging.finish(out)
    return exported


def _write_shard(exporter: Exporter, staging: Staging, shard: Shard, file: File) -> dict[str, Any]:
    if file_sha256(shard.path) != file.sha256:
        raise UserError(
            f"{shard.path} is damaged: its sha256 is not the one in the manifest. Build or copy the data set again."
        )
    with staging.writing() as folder:
        summary = exporter.write(shard, folder)
    return staging.commit(shard_name(shard.number), {"summary": summary, "left_out": shard.left_out})


def _check_places(dataset: Dataset, out: Path) -> None:
    check_out(out)
    if is_inside(out, dataset.path):
        raise UserError(
            f"{out} is inside the data set {dataset.path}, which must hold nothing else. Choose another folder."
        )
    if (out / SUCCESS).exists():
        raise UserError(f"{out} is a data set of duplexgen. It was left as it is: choose another folder with --out.")


def _first(failures: Iterator[str]) -> Iterator[str]:
    for number, failure in enumerate(failures):
        if number == MOST_FAILURES:
            yield "and more"
            return
        yield failure
