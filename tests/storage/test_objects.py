"""Objects in a store, against a server on loopback: addresses, reads of ranges, and writes that replace nothing."""

import hashlib
import io
import os
import pickle
import random
import threading
from pathlib import Path

import pytest
from s3fs import S3FileSystem

from duplexgen.pipeline.errors import UserError
from duplexgen.pipeline.storage.atomic import file_sha256
from duplexgen.pipeline.storage.objects import ObjectPath
from duplexgen.pipeline.storage.paths import place, read_bytes
from tests.objects import Store, store  # noqa: F401

MB = 1 << 20


@pytest.mark.parametrize(
    "text",
    [
        "s3://",
        "s3://bucket",
        "s3://bucket/",
        "s3:///x",
        "s3://a b/x",
        "s3://bucket//x",
        "s3://bucket/x/../y",
        "s3://b/x",
        "s3://bucket/a\nb",
        "s3://bucket/" + 1000 * "x",
        "s3://key:secret@bucket/x",
        "s3:/bucket/x",
    ],
)
def test_addresses_that_are_none(text: str) -> None:
    with pytest.raises(UserError, match="s3://bucket/path"):
        ObjectPath.parse(text)


def test_addresses() -> None:
    out = place("s3://my.bucket/sets/täglich 1/")
    assert out == ObjectPath("my.bucket", "sets/täglich 1")
    assert str(out / "data/x.parquet") == "s3://my.bucket/sets/täglich 1/data/x.parquet"
    assert (out.name, str(out.parent)) == ("täglich 1", "s3://my.bucket/sets")
    assert pickle.loads(pickle.dumps(out)) == out
    assert place("x/y") == Path("x/y")


def test_objects_are_read_as_files(store: Store) -> None:  # noqa: F811
    content = random.Random(0).randbytes(300_000)
    path = store.at("sets/täglich 1/a+b%20c")
    assert not path.exists()
    store.put(path.key, content)
    assert path.is_file()
    assert not path.parent.is_file()
    assert path.stat().st_size == len(content)
    assert read_bytes(path, len(content)) == content
    with pytest.raises(ValueError, match="300,000 bytes, expected at most 299,999"):
        read_bytes(path, len(content) - 1)
    assert file_sha256(path) == hashlib.sha256(content).hexdigest()
    for opened in (path.open(), path.parts()):
        with opened as file:
            assert file.seek(-500, io.SEEK_END) == len(content) - 500
            assert file.read() == content[-500:]
            assert file.read(1) == b""
            file.seek(777)
            assert file.read(2000) == content[777:2777]
            assert file.tell() == 2777
    assert path.parent.below() == {"a+b%20c": len(content)}
    assert store.at("sets").below() == {"täglich 1/a+b%20c": len(content)}
    assert store.at("set").below() == {}
    with pytest.raises(FileNotFoundError):
        (path / "x").read_bytes()


def test_a_write_replaces_nothing(store: Store, tmp_path: Path) -> None:  # noqa: F811
    path, file = store.at("x/y"), tmp_path / "file"
    file.write_bytes(b"of a file")
    version = path.create(b"first")
    assert version
    assert path.create(b"second") is None
    assert not path.create_from(file)
    assert path.read_bytes() == b"first"
    assert path.replace(b"third", '"of another"') is None
    later = path.replace(b"third", version)
    assert later
    assert path.replace(b"fourth", version) is None
    assert (path.read_bytes(), path.stat().version) == (b"third", later)
    path.remove()
    path.remove()
    assert path.replace(b"fifth", later) is None
    assert path.create_from(file)
    assert path.read_bytes() == b"of a file"


def test_a_large_file_is_sent_in_parts_and_appears_at_once(store: Store, tmp_path: Path) -> None:  # noqa: F811
    content, path = random.Random(0).randbytes(12 * MB), store.at("large/file")
    (tmp_path / "file").write_bytes(content)
    seen: list[dict[str, int]] = []

    def look(environment: dict[str, str], _: object) -> None:
        if environment["REQUEST_METHOD"] in ("PUT", "POST"):
            seen.append(store.at("large").below())

    store.server.intercept = look
    assert path.create_from(tmp_path / "file", part_bytes=5 * MB)
    assert len(seen) == 5  # begun, three parts, ended
    assert seen[-1] == {}
    assert file_sha256(path) == hashlib.sha256(content).hexdigest()
    store.server.intercept = lambda *_: None
    assert not path.create_from(tmp_path / "file", part_bytes=5 * MB)


def test_parts_that_a_killed_build_left_are_removed(store: Store) -> None:  # noqa: F811
    client = S3FileSystem()
    for key in ("x/one", "x/two", "xy/other"):
        upload = client.call_s3("create_multipart_upload", Bucket="bucket", Key=key)["UploadId"]
        client.call_s3("upload_part", Bucket="bucket", Key=key, PartNumber=1, UploadId=upload, Body=b"part")
    store.at("x").forget_parts()
    left = client.call_s3("list_multipart_uploads", Bucket="bucket")["Uploads"]
    assert [upload["Key"] for upload in left] == ["xy/other"]


def test_each_process_and_thread_asks_for_itself(store: Store) -> None:  # noqa: F811
    path = store.at("x")
    store.put("x", b"content")
    read, write = os.pipe()
    if (child := os.fork()) == 0:
        os.write(write, path.read_bytes())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(read, 100) == b"content"
    said: list[bytes] = []
    thread = threading.Thread(target=lambda: said.append(path.read_bytes()))
    thread.start()
    thread.join()
    assert said == [b"content"]


def test_bucket_that_is_missing(store: Store) -> None:  # noqa: F811
    with pytest.raises(UserError, match="there is no bucket nowhere"):
        ObjectPath("nowhere", "x").below()


def test_credentials_that_are_missing(store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:  # noqa: F811
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    with pytest.raises(UserError, match=r"there are no credentials for the store.*Set AWS_ACCESS_KEY_ID"):
        store.at("x").below()


def test_server_that_does_not_answer(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(UserError, match=r"the store cannot be asked.*AWS_ENDPOINT_URL"):
        store.at("x").stat()


def test_store_that_refuses(store: Store) -> None:  # noqa: F811
    def refuse(environment: dict[str, str], _: object) -> bytes:
        raise PermissionError

    store.server.intercept = refuse
    with pytest.raises(UserError, match="s3://bucket/x: the store"):
        store.at("x").create(b"")


def test_package_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "s3fs", None)
    with pytest.raises(UserError, match=r"pip install 'duplexgen\[s3\]'"):
        ObjectPath("bucket", "x").stat()
