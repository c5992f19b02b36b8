"""A real S3 server on loopback: moto's, in a thread of this process. It can kill whoever sends it a request."""

import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any
from unittest import mock

import psutil
import pytest
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from s3fs import S3FileSystem
from werkzeug.serving import make_server

from duplexgen.pipeline.storage.objects import ObjectPath
from tests.serving import running

BUCKET = "bucket"
Environment = dict[str, Any]


class Server:
    """What stands between moto and those who ask it. `intercept` may answer a request in moto's place."""

    def __init__(self) -> None:
        self.moto = DomainDispatcherApplication(create_backend_app)
        self.asked: list[tuple[str, str]] = []  # method and path of each request
        self.intercept: Callable[[Environment, Callable[[], bytes]], bytes | None] = lambda environment, answer: None

    def __call__(self, environment: Environment, start: Any) -> Iterable[bytes]:
        self.asked.append((environment["REQUEST_METHOD"], environment["PATH_INFO"]))
        if (answer := self.intercept(environment, lambda: b"".join(self.moto(environment, start)))) is not None:
            return [answer]
        answered: Iterable[bytes] = self.moto(environment, start)
        return answered


class Store:
    """A bucket in it."""

    def __init__(self, server: Server) -> None:
        self.server = server

    def at(self, path: str) -> ObjectPath:
        return ObjectPath(BUCKET, path)

    def tree(self, path: str) -> dict[str, bytes]:
        """Every object below a path, as `tests.corpus.tree` has files."""
        return {name: (self.at(path) / name).read_bytes() for name in self.at(path).below()}

    def put(self, path: str, content: bytes) -> None:
        self.at(path).remove()
        assert self.at(path).create(content)


@contextmanager
def serving() -> Iterator[Store]:
    """A server, an empty bucket, and the environment in which programs find both."""
    server = Server()
    with listening(server) as url:
        keys = {"AWS_ACCESS_KEY_ID": "name", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1"}
        with mock.patch.dict(os.environ, keys | {"AWS_ENDPOINT_URL": url, "AWS_EC2_METADATA_DISABLED": "true"}):
            forget_clients()
            S3FileSystem().call_s3("create_bucket", Bucket=BUCKET)
            yield Store(server)
            forget_clients()


def forget_clients() -> None:
    """Let the next request look at the environment again."""
    S3FileSystem.clear_instance_cache()


@contextmanager
def listening(server: Server) -> Iterator[str]:
    """Its address. All servers of a process have the same buckets."""
    with running(make_server("127.0.0.1", 0, server, threaded=True, request_handler=Quiet)) as http:
        yield f"http://127.0.0.1:{http.server_address[1]}"


class Quiet(MotoRequestHandler):
    def log(self, *_: Any) -> None:
        pass


@pytest.fixture
def store() -> Iterator[Store]:
    with serving() as store:
        yield store


def kill(pid: int) -> None:
    """Kill a process that is asking, and wait until it can ask no more."""
    process = psutil.Process(pid)
    process.kill()
    with suppress(psutil.NoSuchProcess):  # its parent knows already
        while process.status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.001)
