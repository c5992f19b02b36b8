"""Objects in a store that speaks S3: their addresses, and what can be asked of them, through s3fs.

An `ObjectPath` has those methods of `pathlib.Path` that readers of data sets use, so they read both kinds of places. A
write never replaces what is there, unless it says which version it replaces. Credentials, the region and another
endpoint than Amazon's come from where every program of AWS finds them (AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL, ~/.aws).
"""

import io
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import UserError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

SCHEME = "s3://"
BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}")
LONGEST_KEY_BYTES = 900  # stores allow 1,024, and a data set has files below
READ_BYTES = 8 << 20
PART_BYTES, PARTS = 50 << 20, 4  # of a large file, that are sent at once: all of them are in memory
ANSWER_S = 300.0  # s3fs asks again after 15 s without an answer, but was seen to wait for one for good
LEAST_BYTES_PER_S = 100_000
REFUSED = (409, 412)  # a conditional write: somebody else's is under way, or the condition does not hold
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Status:
    """What `stat` says of an object."""

    st_size: int  # bytes
    version: str  # changes with the content


@dataclass(frozen=True, slots=True)
class ObjectPath:
    """The address of an object, or of all objects whose keys start with it and a slash.

    Methods raise FileNotFoundError if there is no such object, and UserError if the store cannot be asked.
    """

    bucket: str
    key: str

    @classmethod
    def parse(cls, text: str) -> "ObjectPath":
        """Raises UserError if the text is no s3://bucket/path, or a path that a key cannot have."""
        bucket, _, key = text.removeprefix(SCHEME).rstrip("/").partition("/")
        parts = key.split("/")
        if not text.startswith(SCHEME) or not BUCKET.fullmatch(bucket) or not key.isprintable():
            problem = "expected s3://, the name of a bucket, and a path in it"
        elif not key or any(part in ("", ".", "..") for part in parts):
            problem = "expected a path in the bucket, without empty parts, . and .."
        elif len(key.encode(errors="replace")) > LONGEST_KEY_BYTES:
            problem = f"its path is too long: expected at most {LONGEST_KEY_BYTES} bytes"
        else:
            return cls(bucket, key)
        raise UserError(f"{text[:120]!a} is no address of a data set in a store: {problem}, as in s3://bucket/path.")

    def __str__(self) -> str:
        return f"{SCHEME}{self.bucket}/{self.key}"

    def __truediv__(self, below: str) -> "ObjectPath":
        return ObjectPath(self.bucket, f"{self.key}/{below}")

    @property
    def name(self) -> str:
        return self.key.rpartition("/")[2]

    @property
    def parent(self) -> "ObjectPath":
        return ObjectPath(self.bucket, self.key.rpartition("/")[0])

    def is_file(self) -> bool:
        """Whether there is an object at this very address."""
        try:
            self.stat()
        except FileNotFoundError:
            return False
        return True

    exists = is_file

    def stat(self) -> Status:
        info = self._ask(lambda store: store.info(str(self), timeout=ANSWER_S))
        if info["type"] != "file":
            raise FileNotFoundError(str(self))
        return Status(info["size"], info["ETag"])

    def open(self, mode: str = "rb") -> io.BufferedReader:
        """The object, to be read from its start to its end: READ_BYTES at once, or more."""
        assert mode == "rb"
        return io.BufferedReader(self.parts(), READ_BYTES)

    def parts(self) -> "SizedFile":
        """The object, to be read here and there: each read asks the store for what is read."""
        return _Object(self)

    def read_bytes(self) -> bytes:
        return self.read_range(None, None)

    def read_range(self, start: int | None, end: int | None) -> bytes:
        """Bytes from `start` up to, not including, `end`."""
        content: bytes = self._ask(lambda store: store.cat_file(str(self), start=start, end=end, timeout=ANSWER_S))
        return content

    def check(self) -> None:
        """Raise UserError if there is no such bucket, or if it may not be listed."""
        try:
            self._ask(lambda store: _call(store, "list_objects_v2", Bucket=self.bucket, Prefix=self.key, MaxKeys=1))
        except FileNotFoundError:
            raise UserError(f"{self}: there is no bucket {self.bucket}. Make it, or name another one.") from None

    def below(self) -> dict[str, int]:
        """All objects whose keys start with this one and a slash: the rest of the key, and the size in bytes.

        Raises UserError if there is no such bucket.
        """
        self.check()  # `find` takes a bucket that is missing for one without objects
        found = self._ask(lambda store: store.find(f"{self}/", detail=True, timeout=ANSWER_S))
        start = len(f"{self.bucket}/{self.key}/")
        return {path[start:]: info["size"] for path, info in sorted(found.items()) if path[start:]}

    def create(self, content: bytes) -> str | None:
        """Write a small object if there is none at this address; returns its version, or None if there is one."""
        how = {"mode": "create", "timeout": ANSWER_S}
        return self._written(lambda store: store.pipe_file(str(self), content, **how)["ETag"])

    def create_from(self, file: Path, part_bytes: int = PART_BYTES) -> bool:
        """As `create`, with the content of a file, which is sent in parts if it is large."""

        how = {"mode": "create", "chunksize": part_bytes, "max_concurrency": PARTS}

        def send(store: Any) -> bool:
            longest_s = ANSWER_S + file.stat().st_size / LEAST_BYTES_PER_S
            store.put_file(str(file), str(self), **how, timeout=longest_s)
            return True

        return bool(self._written(send))

    def replace(self, content: bytes, version: str) -> str | None:
        """Write a small object if the one that is there is still this version; returns the new one, or None."""
        try:
            return self._written(
                lambda store: store.pipe_file(str(self), content, IfMatch=version, timeout=ANSWER_S)["ETag"]
            )
        except FileNotFoundError:
            return None

    def remove(self) -> None:
        """It need not be there."""
        self._ask(lambda store: _call(store, "delete_object", Bucket=self.bucket, Key=self.key))

    def forget_parts(self) -> None:
        """Remove the parts of objects below that were never finished. Stores keep them, and they cost money."""

        def forget(store: Any) -> None:
            there = _call(store, "list_multipart_uploads", Bucket=self.bucket, Prefix=f"{self.key}/")
            for upload in there.get("Uploads", ()):
                which = {"Key": upload["Key"], "UploadId": upload["UploadId"]}
                _call(store, "abort_multipart_upload", Bucket=self.bucket, **which)

        self._ask(forget)

    def _written(self, write: Callable[[Any], T]) -> T | None:
        """What a conditional write gives; None if its condition does not hold."""

        def asked(store: Any) -> T | None:
            try:
                return write(store)
            except OSError as error:
                if _status(error) in REFUSED:
                    return None
                raise

        return self._ask(asked)

    def _ask(self, ask: Callable[[Any], T]) -> T:
        with _explained(self):
            return ask(_store())


Place = Path | ObjectPath
"""Where a data set is: a folder, or what stands below an address in an object store."""


class SizedFile(io.RawIOBase):
    """A file of so many bytes, of which only the position is kept. Subclasses read."""

    def __init__(self, size: int) -> None:
        self.size, self.at = size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        self.at = max(0, offset + {io.SEEK_SET: 0, io.SEEK_CUR: self.at, io.SEEK_END: self.size}[whence])
        return self.at

    def tell(self) -> int:
        return self.at


class _Object(SizedFile):
    """An object, read in ranges."""

    def __init__(self, path: ObjectPath) -> None:
        super().__init__(path.stat().st_size)
        self._path = path

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        view = memoryview(buffer).cast("B")
        end = min(self.at + len(view), self.size)
        if end <= self.at:
            return 0
        content = self._path.read_range(self.at, end)
        view[: len(content)] = content
        self.at += len(content)
        return len(content)


def _store() -> Any:
    """The file system of s3fs; each thread and each process that was forked gets its own."""
    try:
        import s3fs
    except ImportError:
        raise UserError("s3:// needs s3fs: pip install 'duplexgen[s3]'") from None
    return s3fs.S3FileSystem(use_listings_cache=False)


def _call(store: Any, method: str, **arguments: Any) -> Any:
    return store.call_s3(method, **arguments, timeout=ANSWER_S)


@contextmanager
def _explained(path: ObjectPath) -> Iterator[None]:
    """Turn an error of the store into a UserError that says what to do; an object that is missing stays one."""
    try:
        yield
    except (FileNotFoundError, UserError):
        raise
    except PermissionError as error:
        raise UserError(
            f"{path}: the store does not allow it ({error}). Use credentials that may list, read, write and delete "
            "there (AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY)."
        ) from error
    except TimeoutError as error:
        raise UserError(
            f"{path}: the store gave no answer in time. Committed work is safe: look at the network, and run the same "
            "command again."
        ) from error
    except OSError as error:
        raise UserError(f"{path}: the store could not do it ({error}). Committed work is safe.") from error
    except Exception as error:
        from botocore.exceptions import BotoCoreError, NoCredentialsError, PartialCredentialsError

        if isinstance(error, NoCredentialsError | PartialCredentialsError):
            raise UserError(
                f"{path}: there are no credentials for the store ({error}). Set AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY, or AWS_PROFILE."
            ) from error
        if isinstance(error, BotoCoreError | ValueError):
            raise UserError(
                f"{path}: the store cannot be asked ({error}). Committed work is safe: look at the network and at "
                "AWS_ENDPOINT_URL, and run the same command again."
            ) from error
        raise


def _status(error: OSError) -> int | None:
    """The HTTP status that an error of s3fs stands for."""
    response = getattr(error.__cause__, "response", None) or {}
    status: int | None = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return status
