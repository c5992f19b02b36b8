"""What the viewer answers, without a browser: its data, its refusals, and what is damaged."""

import io
import json
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile

from benchmarks.view import repeat
from duplexgen.pipeline.dataset.reader import Dataset
from duplexgen.pipeline.storage.paths import local
from duplexgen.pipeline.view import page
from duplexgen.pipeline.view.server import Server
from tests.command import duplexgen
from tests.damaging import flip
from tests.view.conftest import RECIPES, Row, Sets, ask, get, rewritten, serving

Servers = Callable[[str], Server]


@pytest.mark.parametrize("name", ["noisy", "natural"])
def test_a_dialogue_is_told_as_its_row_has_it(servers: Servers, sets: Sets, name: str) -> None:
    dataset = Dataset(sets(name))
    for number, row in enumerate(dataset.rows()):
        shown = ask(servers(name), f"/api/dialogue/{number}")
        assert shown["id"] == row["dialogue_id"] and len(shown["events"]) == len(row["events"])
        for event, of in zip(shown["events"], row["events"], strict=True):
            assert [event[key] for key in ("channel", "kind", "voice", "text")] == [
                of[key] for key in ("channel", "kind", "voice", "text")
            ]
            assert [event["start_s"], event["end_s"]] == [of["start_sample"] / 16000, of["end_sample"] / 16000]
            assert event["pauses"] == [
                [pause["start_sample"] / 16000, pause["end_sample"] / 16000] for pause in of["pauses"]
            ]
            assert [word[0] for word in event["words"]] == [word["text"] for word in of["words"]]
        (grid,) = shown["grids"].values()
        blocks = np.asarray(row["input_ids"]).reshape(-1, 25)
        first = dataset.layout.vocabulary.audio_first_id  # type: ignore[attr-defined]
        assert np.array_equal(np.asarray(grid["user"]), blocks[:, :10] - first)
        assert np.array_equal(np.asarray(grid["assistant"]), blocks[:, 15:] - first)


def test_pauses_are_among_the_events_of_natural_talk(servers: Servers) -> None:
    events = [event for number in range(3) for event in ask(servers("natural"), f"/api/dialogue/{number}")["events"]]
    assert any(event["pauses"] for event in events)


def test_sound_that_is_stored_is_sent_as_it_is(servers: Servers, sets: Sets) -> None:
    status, headers, body = get(servers("noisy"), "/api/sound/1")
    assert (status, headers["content-type"]) == (200, "audio/flac")
    assert body == [*Dataset(sets("noisy")).rows(["audio"])][1]["audio"]["bytes"]


def test_sound_that_is_not_stored_is_decoded_from_the_codes(servers: Servers, sets: Sets) -> None:
    server = servers("streams")
    shown = ask(server, "/api/dialogue/0")
    assert shown["sound"]["state"] == "decoded" and "melvq" in shown["sound"]["says"]
    samples, rate = soundfile.read(io.BytesIO(get(server, "/api/sound/0")[2]))
    assert rate == shown["sample_rate"] and len(samples) == round(shown["length_s"] * rate)
    for event in shown["events"]:
        channel = ("user", "assistant").index(event["channel"])
        spoken = samples[round(event["start_s"] * rate) : round(event["end_s"] * rate), channel]
        assert np.sqrt((spoken**2).mean()) > 0.003
    silent = samples[: round(0.05 * rate), 1]
    assert not silent.any()


def test_streams_are_those_of_the_row(servers: Servers, sets: Sets) -> None:
    for name in ("streams", "moshi"):
        row = next(Dataset(sets(name)).rows())
        (grid,) = ask(servers(name), "/api/dialogue/0")["grids"].values()
        assert grid["ids"] == row["streams"] and len(grid["names"]) == 17
        kinds = [[int(kind, 36) for kind in stream] for stream in grid["kind_of"]]
        assert kinds == Dataset(sets(name)).layout.kinds(row).tolist()


def test_pairs_have_both_sides_on_one_clock(servers: Servers, sets: Sets) -> None:
    server = servers("pairs")
    row = next(Dataset(sets("pairs")).rows())
    shown = ask(server, "/api/dialogue/0")
    assert [(lane["channel"], lane["side"]) for lane in shown["lanes"]] == [
        ("user", "chosen"), ("assistant", "chosen"), ("assistant", "rejected"),
    ]  # fmt: skip
    assert shown["rejected_delay_s"] == row["rejected_delay_s"]
    (chosen,), (rejected,) = (
        [event for event in shown["events"] if event["side"] == side and event["differs"]]
        for side in ("chosen", "rejected")
    )
    late_s = row["rejected_delay_s"] - row["chosen_delay_s"]
    moved = (rejected[edge] - chosen[edge] for edge in ("start_s", "end_s"))
    assert min(abs(by_s - late_s) for by_s in moved) < 0.17, "a row tells a stop to within a slot of two frames"
    sounds = [soundfile.read(io.BytesIO(get(server, f"/api/sound/0/{side}")[2]))[0] for side in ("chosen", "rejected")]
    assert len(sounds[0]) == len(sounds[1]) == round(shown["length_s"] * 16000)
    assert not np.array_equal(sounds[0][:, 1], sounds[1][:, 1])


def test_effects_are_told_with_their_places(servers: Servers, sets: Sets) -> None:
    acoustics = ask(servers("noisy"), "/api/dialogue/0")["acoustics"]
    row = next(Dataset(sets("noisy")).rows())
    drawn = {(one["effect"], one["quantity"]): one["value"] for one in row["acoustics"]}
    marks = [mark for mark in acoustics["marks"] if mark["effect"] == "bursts"]
    starts = [value for (effect, quantity), value in drawn.items() if effect == "bursts" and "start_sample" in quantity]
    assert marks and [mark["start_s"] for mark in marks] == [start / 16000 for start in starts]
    assert sum(len(one["values"]) for one in acoustics["values"]) == len(drawn)
    assert "before them cannot be heard" in acoustics["says"]


def test_rejected_dialogues_are_told_with_their_detail(servers: Servers) -> None:
    server = servers("noisy")
    answer = ask(server, "/api/rejected")
    (row,) = answer["rows"]
    assert (row["dialogue_id"], row["stage"]) == ("code", "script") and row["detail"]
    assert ask(server, f"/api/rejected?reason={row['reason']}&stage=script")["found"] == 1
    assert ask(server, "/api/rejected?reason=another")["found"] == 0
    assert ask(server, "/api/rejected?text=no+such+words")["found"] == 0


def test_the_summary_has_the_histograms_and_people_of_the_card(servers: Servers, sets: Sets) -> None:
    summary = ask(servers("natural"), "/api/dataset")
    stored = json.loads((sets("natural") / "manifest.json").read_text())["statistics"]
    shown = {one["name"]: one for one in summary["histograms"]}
    assert shown["dialogue_s"]["bins"] == stored["dialogue_s"]["histogram"]
    offsets = shown["transfer_offset_s"]
    assert offsets["band"] == [0.1, 0.2] and abs(sum(offsets["curve"]) / offsets["count"] - 1) < 0.02
    assert any("Levinson" in cells[3] for cells in summary["people"])
    assert summary["missing"] == []


@pytest.mark.parametrize(
    ("path", "headers", "status", "says"),
    [
        ("/", {"Host": "rebound.example:1"}, 403, "Host"),
        ("/api/dialogue/0", {"Host": "rebound.example"}, 403, "Host"),
        ("/api/dialogue/0", {"Origin": "http://other.example"}, 403, "other.example"),
        ("/api/dialogue/0", {"Origin": "null"}, 403, "null"),
        ("/api/sound/0", {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "no-cors"}, 403, "another site"),
        ("/../../etc/passwd", {}, 404, "no such page"),
        ("/static/../viewer.py", {}, 404, "no such page"),
        ("/static/%2e%2e/viewer.py", {}, 404, "no such page"),
        ("/static/wavesurfer/LICENSE", {}, 404, "no such page"),
        ("/api/dialogue/../0", {}, 404, "no such page"),
        ("/api/dialogue/talk%2F0", {}, 404, "no such page"),
        ("/api/dialogue/99", {}, 422, "from 0 to 2"),
        ("/api/dialogue/999999999999999", {}, 422, "from 0 to 2"),
        ("/api/dialogues?offset=-1", {}, 422, "offset"),
        ("/api/dialogues?limit=100000", {}, 422, "limit"),
        ("/api/dialogues?figure=nothing", {}, 422, "figure"),
        ("/api/dialogues?figure=wer&least=x", {}, 422, "least"),
        ("/api/dialogues?" + "&".join(f"f{number}=1" for number in range(40)), {}, 422, "at most 30"),
    ],
)
def test_what_is_refused(servers: Servers, path: str, headers: dict[str, str], status: int, says: str) -> None:
    answered, sent, body = get(servers("noisy"), path, **headers)
    assert answered == status and says in json.loads(body)["error"]
    assert (
        sent["content-type"].startswith("application/json") and "default-src 'none'" in sent["content-security-policy"]
    )


def test_its_own_page_and_a_link_to_it_are_answered(servers: Servers) -> None:
    server = servers("noisy")
    own = {"Origin": server.url.rstrip("/"), "Sec_Fetch_Site": "same-origin"}
    assert get(server, "/api/dialogues", **own)[0] == 200
    assert get(server, "/", Host=f"localhost:{server.port}")[0] == 200
    assert get(server, "/", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="navigate")[0] == 200
    assert server.server_address[0] == "127.0.0.1"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "BREW"])
def test_it_only_reads(servers: Servers, method: str) -> None:
    status, _, body = get(servers("noisy"), "/api/dialogues", method)
    assert status == 501 and "only reads" in json.loads(body)["error"]


def test_the_page_runs_its_own_scripts_alone(servers: Servers) -> None:
    server = servers("noisy")
    first, second = (get(server, "/")[1]["content-security-policy"] for _ in range(2))
    assert "script-src 'self';" in first and "connect-src 'self'" in first and "default-src 'none'" in first
    assert "unsafe" not in first and first != second, "the nonce of styles is drawn for each answer"
    for path in page.static_files():
        status, headers, body = get(server, path)
        assert (status, headers["x-content-type-options"]) == (200, "nosniff") and len(body) > 500


def test_nothing_is_fetched_from_elsewhere() -> None:
    """No address of another place is in the page, but for names of namespaces and licences."""
    for name in (*page.SCRIPTS, page.STYLE, "index.html"):
        text = (page.STATIC / name).read_text(encoding="utf-8")
        found = set(re.findall(r"(?:https?:)?//[a-z0-9.-]+\.[a-z]{2,}[^\s\"')]*", text))
        assert {one for one in found if "www.w3.org" not in one and not name.startswith("wavesurfer/")} == set(), name


def test_several_ask_at_once(servers: Servers) -> None:
    server, answers = servers("pairs"), []

    def work() -> None:
        for number in range(2):
            answers.append(get(server, f"/api/dialogue/{number}")[0])
            answers.append(get(server, f"/api/sound/{number}/rejected")[0])

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [200] * 16


def test_a_damaged_row_group_is_a_message_and_the_others_are_shown(sets: Sets, tmp_path: Path) -> None:
    folder = rewritten(sets("noisy"), tmp_path / "damaged", lambda row: None, group_rows=1)
    (shard,) = map(local, Dataset(folder).shards)
    with serving(folder) as server:  # before the damage
        places = [ask(server, f"/api/dialogue/{number}")["id"] for number in range(3)]
    footer = pq.read_metadata(shard)
    for column in range(footer.num_columns):
        chunk = footer.row_group(1).column(column)
        start = chunk.dictionary_page_offset or chunk.data_page_offset
        for place in range(start, start + min(40, chunk.total_compressed_size)):
            flip(shard, place, 0xFF)
    with serving(folder) as server:
        rows = ask(server, "/api/dialogues")["rows"]
        assert [row.get("id") for row in rows] == [places[0], None, places[2]] and "damaged" in rows[1]["problem"]
        assert rows[0]["opening"] == "Could you tell me where the old library is?"
        status, _, body = get(server, "/api/dialogue/1")
        assert status == 422 and "damaged" in json.loads(body)["error"]
        assert ask(server, "/api/dialogue/2")["id"] == places[2]
        assert get(server, "/api/sound/1")[0] == 422
        server.viewer.index.wait()
        assert ask(server, "/api/dialogues?scenario=interruption")["found"] == 2


def test_a_text_that_is_damaged_leaves_the_others_in_the_table(sets: Sets, tmp_path: Path) -> None:
    def spoil(row: Row) -> None:
        if row["dialogue_id"] == "talk/1":
            row["events"][0]["text"] = "much " * 30_000

    with serving(rewritten(sets("noisy"), tmp_path / "long", spoil)) as server:
        rows = ask(server, "/api/dialogues")["rows"]
        assert [bool(row["opening"]) for row in rows] == [True, False, True]
        status, _, body = get(server, "/api/dialogue/1")
        assert status == 422 and "150,000 characters" in json.loads(body)["error"]


def test_a_shard_that_is_gone_is_a_message_and_the_others_are_shown(
    sets: Sets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.view.SHARD_ROWS", 2)
    repeat(sets("noisy"), tmp_path / "gone", 6)
    local(Dataset(tmp_path / "gone").shards[1]).unlink()
    with serving(tmp_path / "gone") as server:
        rows = ask(server, "/api/dialogues")["rows"]
        assert [row.get("id", "") for row in rows] == [
            "dialogue-0", "dialogue-1", "", "", "dialogue-4", "dialogue-5",
        ]  # fmt: skip
        assert "missing" in rows[2]["problem"] and ask(server, "/api/dataset")["missing"] == [
            "data/train-00001-of-00003.parquet: is missing"
        ]
        assert get(server, "/api/dialogue/2")[0] == 422 and get(server, "/api/dialogue/4")[0] == 200
        server.viewer.index.wait()
        assert ask(server, "/api/dialogues?source=talk")["found"] == 4


def test_mistakes_end_the_command_with_a_message(sets: Sets, servers: Servers, tmp_path: Path) -> None:
    older = Path(shutil.copytree(sets("natural"), tmp_path / "older"))
    stored = json.loads((older / "manifest.json").read_text())
    (older / "manifest.json").write_text(json.dumps(stored | {"format_version": 4}))
    taken = str(servers("noisy").port)
    page_of = tmp_path / "there.html"
    page_of.write_text("mine")
    folder = sets("noisy")
    mistakes: list[tuple[list[str | Path], str]] = [
        (["view", tmp_path], "is no finished data set"),
        (["view", older], "another version of duplexgen"),
        (["view", folder, "--port", taken], f"the port {taken} cannot be used"),
        (["view", folder, "nobody"], "has no dialogue 'nobody'"),
        (["view", folder, "--export", tmp_path / "page.html"], "name it"),
        (["view", folder, "0", "--export", page_of], "exists already"),
        (["view", folder, "0", "--export", tmp_path / "page.txt"], "ends in .html"),
        (["view", folder, "0", "--export", page_of / "page.html"], "there.html"),
    ]
    for arguments, says in mistakes:
        ended = duplexgen(*arguments, cwd=tmp_path)
        assert ended.status == 2 and says in ended.said and "Traceback" not in ended.said, ended.said
    assert page_of.read_text() == "mine" and [*tmp_path.glob("page*")] == []


def test_codes_that_nothing_here_decodes_say_what_to_do(sets: Sets, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(sets("streams"), tmp_path / "mute"))
    described = json.loads((folder / "vocabulary.json").read_text())
    described["speech_tokenizer"]["name"] = "unheard"
    (folder / "vocabulary.json").write_text(json.dumps(described))
    with serving(folder) as server:
        shown = ask(server, "/api/dialogue/0")
        assert shown["sound"]["state"] == "none" and "output: {audio: flac}" in shown["sound"]["says"]
        assert shown["events"] and get(server, "/api/sound/0")[0] == 422


def test_the_command_serves_until_it_is_stopped(sets: Sets, signals: None) -> None:
    command = [sys.executable, "-m", "duplexgen", "view", str(sets("natural")), "1", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stdout
        address = running.stdout.readline().split()[0]
        assert address.startswith("http://127.0.0.1:") and address.endswith("/#1")
        running.send_signal(2)
        said = running.communicate(timeout=60)
    assert running.returncode == 0 and said == ("", "")


def test_every_recipe_of_these_tests_was_built(sets: Sets) -> None:
    assert all(Dataset(sets(name)).manifest.rows == 3 for name in RECIPES)
