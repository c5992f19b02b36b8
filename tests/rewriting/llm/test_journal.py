import pytest

from pipeline.errors import UserError
from pipeline.rewriting.llm.journal import Answer, Journal, request_key

SAID = Answer("Zażółć 你好 \ud83d\n{", "stop")


def test_what_was_added_is_found_again_whoever_wrote_it(tmp_path):
    with Journal(tmp_path / "new", "a") as one, Journal(tmp_path / "new", "a") as other:
        one.add("k1", SAID)
        other.add("k2", Answer("", None))
        assert one.get("k1") == SAID and one.get("k2") is None
    assert len(list((tmp_path / "new").iterdir())) == 2
    with Journal(tmp_path / "new", "a") as again:
        assert again.get("k1") == SAID and again.get("k2") == Answer("", None) and again.get("k3") is None
    with Journal(tmp_path / "new", "b") as elsewhere:
        assert elsewhere.get("k1") is None
    assert len(list((tmp_path / "new").iterdir())) == 2, "a journal that adds nothing makes no file"


def test_a_torn_line_is_as_if_it_had_not_been_written(tmp_path):
    with Journal(tmp_path, "a") as journal:
        journal.add("k1", SAID)
        journal.add("k2", SAID)
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    first = whole.index(b"\n") + 1
    for length in range(first, len(whole) - 1):
        path.write_bytes(whole[:length])
        with Journal(tmp_path, "a") as journal:
            assert journal.get("k1") == SAID and journal.get("k2") is None
    path.write_bytes(b"[1]\nnull\n\xff\xfe\n" + whole)
    with Journal(tmp_path, "a") as journal:
        assert journal.get("k1") == journal.get("k2") == SAID


def test_a_folder_that_cannot_be_written_stops_the_build(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="file"):
        Journal(tmp_path / "file" / "scratch", "a").add("k", SAID)


def test_a_request_is_named_by_all_that_is_asked():
    body = {"model": "m", "messages": [{"role": "user", "content": "\ud83d"}], "seed": 1}
    assert request_key(body) == request_key(dict(reversed(body.items())))
    assert len({request_key(body), request_key(body | {"seed": 2}), request_key(body | {"model": "n"})}) == 3
