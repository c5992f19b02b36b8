"""A lock in an object store: an object that its holder writes again from time to time.

A holder that was killed leaves the object behind. The next one takes it over: at once if both have the same `owner`,
which only one process at a time can have, and else when it was not written again for LEASE_S. No clocks are compared.
"""

import json
import logging
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from ..errors import UserError
from .atomic import canonical_json
from .objects import ObjectPath

RENEWED_S = 10.0
LEASE_S = 60.0
POLL_S = 1.0
LOG = logging.getLogger(__name__)


class Lease:
    """A lock that is held."""

    def __init__(self, path: ObjectPath, owner: str, version: str) -> None:
        self._path, self._owner, self._version = path, owner, version
        self._renewed, self._times = time.monotonic(), 0
        self._ends, self._is_lost = threading.Event(), False
        self._thread = threading.Thread(target=self._renew, daemon=True)

    def check(self) -> None:
        """Raise UserError if another process has taken the lock. Call it before a write that others would notice."""
        if self._is_lost:
            raise UserError(
                f"{self._path} was taken over by another build, because this one could not renew it for {LEASE_S:g} s. "
                "Committed work is safe: run the same command again once the other has ended."
            )

    @contextmanager
    def held(self) -> Iterator["Lease"]:
        """Renew it in the block, and remove it afterwards."""
        self._thread.start()
        try:
            yield self
        finally:
            self._ends.set()
            self._thread.join()
            with suppress(UserError, FileNotFoundError):  # a lock that stays is taken over
                if not self._is_lost and self._path.stat().version == self._version:
                    self._path.remove()

    def _renew(self) -> None:
        while not self._ends.wait(RENEWED_S):
            try:
                self._times += 1
                version = self._path.replace(_content(self._owner, self._times), self._version)
            except UserError:
                self._is_lost = time.monotonic() - self._renewed > LEASE_S
            else:
                self._version, self._renewed = version or "", time.monotonic()
                self._is_lost = version is None
            if self._is_lost:
                return


@contextmanager
def leased(path: ObjectPath, owner: str, message: str) -> Iterator[Lease]:
    """Hold the lock at an address. Raises UserError, which starts with the message, if another process holds it.

    owner: names the holder; of all processes that may give this name, only one is here at a time.
    """
    with Lease(path, owner, _take(path, owner, message)).held() as lease:
        yield lease


def _take(path: ObjectPath, owner: str, message: str) -> str:
    """Write the lock's object; returns its version."""
    content, seen, since = _content(owner, 0), None, 0.0
    while True:
        if version := path.create(content):
            _check_refusal(path, content)
            return version
        try:
            version = path.stat().version
            holder = _holder(path)
        except FileNotFoundError:
            continue
        is_left = holder.get("owner") == owner or (version == seen and time.monotonic() - since > LEASE_S)
        if is_left and (taken := path.replace(content, version)):
            return taken
        if seen is None:
            seen, since = version, time.monotonic()
            LOG.warning("%s is there: waiting for up to %g s, to see whether its build still runs", path, LEASE_S)
        elif version != seen:
            where = f"process {holder.get('process')} on {holder.get('host')}"
            raise UserError(f"{message} ({where}). Wait until it ends; nothing was changed.")
        time.sleep(POLL_S)


def _check_refusal(path: ObjectPath, content: bytes) -> None:
    """Raise UserError if the store replaces an object that is there, though it was told to create one."""
    if path.create(content):
        path.remove()
        raise UserError(
            f"{path}: the store replaces an object that is there, although `If-None-Match: *` forbids it. Two builds "
            "could write the same objects. Use a store that heeds it, such as Amazon S3, or build to a folder and copy "
            "that."
        )


def _content(owner: str, times: int) -> bytes:
    about = {"owner": owner, "host": socket.gethostname(), "process": os.getpid(), "renewed": times}
    return canonical_json(about).encode()


def _holder(path: ObjectPath) -> dict[str, Any]:
    try:
        holder = json.loads(path.read_bytes())
    except ValueError:
        holder = None
    if not isinstance(holder, dict):
        raise UserError(f"{path} is no lock of duplexgen. Remove it, or choose another place with --out.")
    return holder
