"""Serves the page on loopback: reading only, to pages of its own alone."""

import json
import re
import socket
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from ..errors import UserError
from ..escapes import visible
from . import page
from .viewer import Viewer

LOOPBACK = "127.0.0.1"
DEFAULT_PORT = 8321
DIALOGUE = re.compile(r"/api/dialogue/([0-9]{1,15})")
SOUND = re.compile(r"/api/sound/([0-9]{1,15})(?:/(chosen|rejected))?")
MOST_FIELDS = 30  # of a query
IDLE_S = 60.0
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
JSON, FLAC = "application/json; charset=utf-8", "audio/flac"


class Server(ThreadingHTTPServer):
    """Serves one data set. Raises UserError if the port is taken."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, viewer: Viewer, port: int) -> None:
        """port: 0: any that is free."""
        self.viewer = viewer
        try:
            super().__init__((LOOPBACK, port), Handler)
        except OSError as error:
            raise UserError(
                f"the port {port} cannot be used ({error.strerror}): perhaps another viewer has it. Give another one "
                "with --port; --port 0 takes any that is free."
            ) from error

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}/"

    @property
    def hosts(self) -> frozenset[str]:
        """What a browser on this machine may call it. Another name in `Host` is one that somebody rebound to us."""
        return frozenset(f"{name}:{self.port}" for name in (LOOPBACK, "localhost"))

    def server_bind(self) -> None:
        """Without the look-up of the host's name that HTTPServer makes, which may ask the network."""
        socket.socket.bind(self.socket, self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = LOOPBACK, self.server_address[1]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that goes away in the middle of an answer is no error."""


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "duplexgen", ""
    timeout = IDLE_S

    def do_GET(self) -> None:
        try:
            refusal = self._refusal()
            if refusal:
                self._send_json(HTTPStatus.FORBIDDEN, {"error": refusal})
            else:
                self._answer()
        except UserError as error:
            self._send_json(HTTPStatus.UNPROCESSABLE_ENTITY, {"error": str(error)})
        except OSError:
            self.close_connection = True  # the browser went away
        except Exception as error:
            says = f"{type(error).__name__}: {visible(str(error), 300)}"
            self._send_json(HTTPStatus.INTERNAL_SERVER_ERROR, {"error": f"The viewer failed: {says}"})

    def do_HEAD(self) -> None:
        self.do_GET()

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Any other method, and what is no HTTP: a message as of all other errors."""
        self.close_connection = True  # what was sent along is not read
        self.command = self.command or ""
        self._send_json(HTTPStatus(code), {"error": f"The viewer only reads: expected GET. {message or ''}".strip()})

    def _refusal(self) -> str:
        """Why a request is refused, in words; "" if it is from a page of this server, or typed by a person."""
        host, origin = self.headers.get("Host", ""), self.headers.get("Origin")
        if host not in self.server.hosts:
            return f"Host is {visible(host)!a}: expected {self.server.url}"
        if origin is not None and origin not in {f"http://{name}" for name in self.server.hosts}:
            return f"The request comes from {visible(origin)!a}: expected the viewer's own page."
        site = self.headers.get("Sec-Fetch-Site", "none")
        if site not in ("same-origin", "none") and self.headers.get("Sec-Fetch-Mode") != "navigate":
            return "The request comes from another site: expected the viewer's own page."
        return ""

    def _answer(self) -> None:
        parts = urlsplit(self.path)
        viewer, path = self.server.viewer, parts.path
        if path == "/":
            body, policy = page.served()
            self._send(HTTPStatus.OK, "text/html; charset=utf-8", body, {"Content-Security-Policy": policy})
        elif path in page.static_files():
            self._send(HTTPStatus.OK, *page.static_files()[path])
        elif found := SOUND.fullmatch(path):
            self._send(HTTPStatus.OK, FLAC, viewer.flac(int(found[1]), found[2] or ""))
        elif (answer := self._json(path, _asked(parts.query))) is not None:
            self._send_json(HTTPStatus.OK, answer)
        else:
            self._send_json(HTTPStatus.NOT_FOUND, {"error": "There is no such page."})

    def _json(self, path: str, asked: Mapping[str, str]) -> dict[str, Any] | None:
        viewer = self.server.viewer
        if found := DIALOGUE.fullmatch(path):
            return viewer.dialogue(int(found[1]))
        match path:
            case "/api/dataset":
                return viewer.summary()
            case "/api/facets":
                return viewer.facets()
            case "/api/dialogues":
                return viewer.dialogues(asked)
            case "/api/rejected":
                return viewer.rejected(asked)
        return None

    def _send_json(self, status: HTTPStatus, value: dict[str, Any]) -> None:
        self._send(status, JSON, json.dumps(value, allow_nan=False).encode())

    def _send(self, status: HTTPStatus, type_: str, body: bytes, more: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        headers = {"Content-Security-Policy": page.NEVER} | HEADERS | dict(more or {})
        for name, value in ({"Content-Type": type_, "Content-Length": str(len(body))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are not printed: a person reads the page, not the terminal."""


def _asked(query: str) -> dict[str, str]:
    """Fields of a query. Raises UserError if there are too many."""
    try:
        return dict(parse_qsl(query, max_num_fields=MOST_FIELDS))
    except ValueError:
        raise UserError(f"expected at most {MOST_FIELDS} fields in a query") from None


def serve(server: Server, ready: Callable[[], None]) -> None:
    """Answer requests until Ctrl-C. ready: called once requests are answered."""
    try:
        ready()
        server.serve_forever()
    except KeyboardInterrupt:
        pass
    finally:
        server.server_close()
