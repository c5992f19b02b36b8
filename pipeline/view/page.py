"""The page: its files, and the same page with one dialogue in it, as one file."""

import base64
import hashlib
import json
import secrets
from functools import cache
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..storage.atomic import atomic_path, check_free
from .dialogue import Shown
from .sound import NONE
from .viewer import Viewer

STATIC = Path(__file__).parent / "static"
TYPES = {".js": "text/javascript", ".css": "text/css"}
SCRIPTS = (
    *(f"wavesurfer/{name}.min.js" for name in ("wavesurfer", "regions", "timeline", "hover")),
    *(f"{name}.js" for name in ("dom", "player", "lanes", "grids", "dialogue", "table", "figures", "app")),
)
STYLE = "style.css"
LICENSE = STATIC / "wavesurfer/LICENSE"
HEAD, FOOT = "<!-- head -->", "<!-- foot -->"
NEVER = "default-src 'none'; img-src data:; base-uri 'none'; form-action 'none'"
AS_TEXT = {character: f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"}
"""What could end a script or be read as markup, as JSON may write it inside of strings."""


@cache
def static_files() -> dict[str, tuple[str, bytes]]:
    """Content type and bytes of each file of the page, by its path in a URL. Nothing else is ever sent."""
    return {
        f"/static/{name}": (f"{TYPES[Path(name).suffix]}; charset=utf-8", (STATIC / name).read_bytes())
        for name in (*SCRIPTS, STYLE)
    }


def served() -> tuple[bytes, str]:
    """The page as the server sends it, and its Content-Security-Policy: scripts and styles of this server alone."""
    nonce = secrets.token_urlsafe(16)
    head = f'<link rel="stylesheet" href="/static/{STYLE}">'
    foot = "\n".join(f'<script src="/static/{name}"></script>' for name in SCRIPTS)
    policy = f"{NEVER}; script-src 'self'; style-src 'self' 'nonce-{nonce}'; connect-src 'self'; frame-ancestors 'none'"
    return _filled(head, foot, nonce).encode(), policy


def export(viewer: Viewer, number: int, target: Path) -> None:
    """Write a page with one dialogue in it, sound and scripts included. It needs nothing else and opens from a disk.

    Raises UserError if there is something at `target` already, or the dialogue cannot be read.
    """
    check_free(target)
    if target.suffix.lower() not in (".html", ".htm"):
        raise UserError(f"{target}: expected a file name that ends in .html.")
    shown = viewer.dialogue(number)
    sides = {lane["side"] for lane in shown["lanes"]} if shown["sound"]["state"] != NONE else set()
    sounds = {side: base64.b64encode(viewer.flac(number, side)).decode("ascii") for side in sorted(sides)}
    text = standalone(shown, sounds)
    with atomic_path(target) as path:
        path.write_text(text, encoding="utf-8")


def standalone(shown: Shown, sounds: dict[str, str]) -> str:
    """sounds: FLAC in base64, by side. The policy allows these scripts by their checksums, and no connection at all."""
    nonce = secrets.token_urlsafe(16)
    scripts = [(STATIC / name).read_text(encoding="utf-8") for name in SCRIPTS]
    hashes = " ".join(f"'sha256-{_sha256(script)}'" for script in scripts)
    policy = f"{NEVER}; script-src {hashes}; style-src 'nonce-{nonce}'"
    head = (
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        f'<style nonce="{nonce}">{(STATIC / STYLE).read_text(encoding="utf-8")}</style>'
    )
    licence = _json(LICENSE.read_text(encoding="utf-8"))
    foot = "\n".join(
        [
            f'<script type="application/json" id="data">{_json({"dialogue": shown, "sounds": sounds})}</script>',
            f'<script type="application/json" id="wavesurfer-license">{licence}</script>',
            *(f"<script>{script}</script>" for script in scripts),
        ]
    )
    return _filled(head, foot, nonce)


def _filled(head: str, foot: str, nonce: str) -> str:
    text = (STATIC / "index.html").read_text(encoding="utf-8")
    before, _, rest = text.partition(HEAD)
    body, _, after = rest.partition(FOOT)
    return before + head + body.replace("NONCE", nonce) + foot + after


def _json(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    return "".join(AS_TEXT.get(character, character) for character in text)


def _sha256(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")
