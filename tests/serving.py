"""An OpenAI-compatible endpoint on loopback that answers as a test tells it to."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from typing import Any, TypeVar


@dataclass(frozen=True)
class Said:
    """What the endpoint sends back to a request."""

    body: str
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    wait_s: float = 0.0  # before anything is sent
    withheld: int = 0  # bytes promised and never sent
    drip_s: float = 0.0  # before each byte of the body


class Endpoint(ThreadingHTTPServer):
    """`says` makes of a request's body what is sent back; what was asked and answered is counted."""

    daemon_threads = True

    def __init__(self, says: Callable[[dict[str, Any]], Said], port: int) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.says = says
        self.requests: list[dict[str, Any]] = []
        self.answered: list[dict[str, Any]] = []
        self.received_s: list[float] = []
        self.keys: list[str | None] = []
        self.under_way = self.most_under_way = 0
        self.lock = threading.Lock()

    def handle_error(self, *_: object) -> None:
        """A client that goes away is what some tests are about."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class Handler(BaseHTTPRequestHandler):
    server: Endpoint
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            self.server.requests.append(body)
            self.server.received_s.append(time.monotonic())
            self.server.keys.append(self.headers["Authorization"])
            self.server.under_way += 1
            self.server.most_under_way = max(self.server.most_under_way, self.server.under_way)
        said = self.server.says(body) if self.path == "/v1/chat/completions" else Said("no such path", 404)
        time.sleep(said.wait_s)
        with self.server.lock:
            self.server.under_way -= 1
            if said.status == 200:
                self.server.answered.append(body)
        try:
            self.send_response(said.status)
            for name, value in {"Content-Length": str(len(said.body.encode()) + said.withheld), **said.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            for byte in said.body.encode() if said.drip_s else ():
                time.sleep(said.drip_s)
                self.wfile.write(bytes([byte]))
            self.wfile.write(b"" if said.drip_s else said.body.encode())
            self.close_connection = said.withheld > 0
        except OSError:  # the client went away
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass


def chat(content: Any, finish_reason: str = "stop") -> Said:
    choice = {"message": {"role": "assistant", "content": content}, "finish_reason": finish_reason}
    return Said(json.dumps({"choices": [choice]}))


S = TypeVar("S", bound=HTTPServer)


@contextmanager
def serving(says: Callable[[dict[str, Any]], Said], port: int = 0) -> Iterator[Endpoint]:
    """An endpoint in a thread. port: 0 for any that is free."""
    with running(Endpoint(says, port)) as server:
        yield server


@contextmanager
def running(server: S) -> Iterator[S]:
    """A server that answers in a thread of its own."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
