"""What people say in passing: the phrases of phrases.yaml, by language, kind and split."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

FILE = Path(__file__).with_name("phrases.yaml")
PHRASES: Mapping[str, Mapping[str, Mapping[str, Sequence[str]]]] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
ASSISTANT_BACKCHANNEL = "assistant_backchannel"
"""Kind of the phrases that the assistant says while it listens."""
