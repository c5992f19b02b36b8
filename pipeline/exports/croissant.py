"""Croissant (mlcroissant 1.1): croissant.json beside the shards, which says what their columns are.

The Hub makes one of its own for a data set that is uploaded; this is for folders that stand elsewhere. The shards are
those of the data set, as hard links where the file system has them, else as copies.
"""

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa

from ..dataset.manifest import DATA
from ..dataset.reader import Dataset
from ..escapes import one_line
from ..storage.atomic import write_json
from ..storage.paths import local
from .exporter import BOTH_KINDS, Exporter, Row, Shard, Summary

CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "conformsTo": "dct:conformsTo",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
TYPES = {"string": "sc:Text", "int32": "cr:Int32", "int64": "cr:Int64", "double": "cr:Float64", "bool": "sc:Boolean"}
SHARDS = "shards"


class Croissant(Exporter):
    name: ClassVar[str] = "croissant"
    version: ClassVar[int] = 1
    kinds: ClassVar[frozenset[str]] = BOTH_KINDS
    needs: ClassVar[frozenset[str]] = frozenset()

    def write(self, shard: Shard, out: Path) -> Summary:
        (out / DATA).mkdir()
        source = local(shard.path)
        target = out / DATA / source.name
        try:
            os.link(source, target)
        except OSError:  # another file system, or one without hard links
            shutil.copyfile(source, target)
        shard.report(shard.first_row + shard.num_rows)
        return {}

    def finish(self, dataset: Dataset, summaries: Iterable[Summary], out: Path) -> Mapping[str, Any]:
        manifest = dataset.manifest
        write_json(
            out / "croissant.json",
            {
                "@context": CONTEXT,
                "@type": "sc:Dataset",
                "name": one_line(manifest.name),
                "description": one_line(manifest.description) or one_line(manifest.name),
                "conformsTo": "http://mlcommons.org/croissant/1.0",
                "license": one_line(manifest.made_of.license),
                "version": "1.0.0",
                "distribution": [*_files(dataset)],
                "recordSet": [_records(dataset)],
            },
        )
        return {}


def _files(dataset: Dataset) -> Iterator[Row]:
    """Each shard with its checksum, and all of them as what records are read from: files beside croissant.json."""
    for file in dataset.manifest.listed(DATA):
        yield {
            "@type": "cr:FileObject",
            "@id": file.path,
            "name": file.path,
            "contentUrl": file.path,
            "contentSize": f"{file.bytes} B",
            "encodingFormat": "application/x-parquet",
            "sha256": file.sha256,
        }
    yield {
        "@type": "cr:FileSet",
        "@id": SHARDS,
        "name": SHARDS,
        "encodingFormat": "application/x-parquet",
        "includes": "data/*.parquet",
    }


def _records(dataset: Dataset) -> Row:
    return {
        "@type": "cr:RecordSet",
        "@id": dataset.kind,
        "name": dataset.kind,
        "key": {"@id": f"{dataset.kind}/dialogue_id"},
        "field": [*_fields(dataset)],
    }


def _fields(dataset: Dataset) -> Iterator[Row]:
    """Columns of texts, of numbers and of lists of numbers; no column of records or of lists of lists."""
    for column in dataset.columns:
        is_list = pa.types.is_list(column.type)
        type_ = TYPES.get(str(column.type.value_type if is_list else column.type))
        if type_ is not None:
            yield {
                "@type": "cr:Field",
                "@id": f"{dataset.kind}/{column.name}",
                "name": column.name,
                "dataType": type_,
                "source": {"fileSet": {"@id": SHARDS}, "extract": {"column": column.name}},
                **({"repeated": True} if is_list else {}),
            }
