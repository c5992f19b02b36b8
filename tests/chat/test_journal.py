import logging

import pytest

from duplexgen.pipeline.chat.journal import Answer, Journal, request_key
from duplexgen.pipeline.errors import UserError

SAID = Answer("Zażółć 你好 \ud83d\n{", "stop")


def test_what_was_added_is_found_again_whoever_wrote_it(tmp_path):
    one, other = Journal(tmp_path / "new"), Journal(tmp_path / "new")
    one.add("k1", SAID)
    other.add("k2", Answer("", None))
    one.add("k3", Answer("{}", "length"))
    assert one.get("k1") == SAID and one.get("k2") is None
    one.read()
    assert one.get("k2") == Answer("", None) and other.get("k3") is None
    assert len(list((tmp_path / "new").iterdir())) == 2
    again = Journal(tmp_path / "new")
    assert [again.get(key) for key in ("k1", "k2", "k3", "k4")] == [
        SAID,
        Answer("", None),
        Answer("{}", "length"),
        None,
    ]
    assert len(list((tmp_path / "new").iterdir())) == 2, "a journal that adds nothing makes no file"
    assert Journal(tmp_path / "none").get("k1") is None and not (tmp_path / "none").exists()


def test_a_torn_line_is_as_if_it_had_not_been_written(tmp_path, caplog):
    writer = Journal(tmp_path)
    writer.add("k1", SAID)
    writer.add("k2", SAID)
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    assert Journal(tmp_path).get("k2") == SAID and caplog.records == []
    first = whole.index(b"\n") + 1
    for length in range(first + 1, len(whole)):
        path.write_bytes(whole[:length])
        caplog.clear()
        journal = Journal(tmp_path)
        assert journal.get("k1") == SAID and journal.get("k2") is None
        assert path.name in caplog.text and "lines: 1" in caplog.text
        journal.add("k2", SAID)
        assert Journal(tmp_path).get("k2") == SAID
        for later in set(tmp_path.iterdir()) - {path}:
            later.unlink()


def test_a_line_that_another_is_still_writing_is_found_once_it_is_whole(tmp_path, caplog):
    Journal(tmp_path).add("k1", SAID)
    (path,) = tmp_path.iterdir()
    line = path.read_bytes()
    reader = Journal(tmp_path)
    with path.open("ab") as file:
        file.write(line.replace(b"k1", b"k2")[:9])
        file.flush()
        reader.read()
        file.write(line[9:])
    assert caplog.records == []
    reader.read()
    assert reader.get("k1") == SAID


def test_whatever_byte_is_damaged_no_other_answer_is_lost_and_none_is_wrong(tmp_path, caplog):
    writer = Journal(tmp_path)
    said = {f"k{number}": Answer(f"said {number}", "stop") for number in range(3)}
    for key, answer in said.items():
        writer.add(key, answer)
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    for place in range(len(whole)):
        for bad in (whole[place] ^ 1, ord("\n")):
            path.write_bytes(whole[:place] + bytes([bad]) + whole[place + 1 :])
            caplog.clear()
            journal = Journal(tmp_path)
            lost = [key for key, answer in said.items() if journal.get(key) != answer]
            assert all(journal.get(key) is None for key in lost)
            if bad == whole[place]:
                assert lost == []
                continue
            assert len(lost) <= (2 if whole[place : place + 1] == b"\n" else 1)
            assert "asked for again" in caplog.text or not lost


def test_what_is_damaged_while_it_is_read_is_no_answer(tmp_path):
    journal = Journal(tmp_path)
    journal.add("k1", SAID)
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes().replace(b"stop", b"stap"))
    assert journal.get("k1") is None


def test_what_is_no_journal_is_passed_over_and_said(tmp_path, caplog):
    Journal(tmp_path).add("k1", SAID)
    (tmp_path / "answers-0.jsonl").write_bytes(b'[1]\nnull\n\xff\xfe\n{"request": "k2"}\n' + b"[" * 100_000 + b"\n")
    with caplog.at_level(logging.WARNING):
        assert Journal(tmp_path).get("k1") == SAID
    assert "lines: 5" in caplog.text


def test_nothing_follows_what_a_full_disk_cut_off(tmp_path, monkeypatch):
    journal = Journal(tmp_path)
    journal.add("k1", SAID)
    (path,) = tmp_path.iterdir()

    def full(descriptor):
        path.write_bytes(path.read_bytes()[:-5])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("duplexgen.pipeline.chat.journal.os.fsync", full)
        with pytest.raises(UserError, match="disk is full"):
            journal.add("k2", SAID)
    assert journal.get("k2") is None
    journal.add("k3", SAID)
    again = Journal(tmp_path)
    assert again.get("k1") == again.get("k3") == SAID and again.get("k2") is None


def test_a_folder_that_cannot_be_written_stops_the_build(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="file"):
        Journal(tmp_path / "file" / "scratch").add("k", SAID)


def test_a_request_is_named_by_all_that_is_asked():
    body = {"model": "m", "messages": [{"role": "user", "content": "\ud83d"}], "seed": 1}
    assert request_key(body) == request_key(dict(reversed(body.items())))
    assert len({request_key(body), request_key(body | {"seed": 2}), request_key(body | {"model": "n"})}) == 3
