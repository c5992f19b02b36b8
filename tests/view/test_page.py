"""The page in a browser: lanes, clock, solo, blocks, filters, pairs, keys, one file; nothing leaves the machine."""

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from duplexgen.pipeline.dataset.reader import Dataset
from duplexgen.pipeline.view.server import Server
from tests.command import duplexgen
from tests.view.browser import Tab, started
from tests.view.conftest import Row, Sets, ask, get, rewritten, serving

Open = Callable[[Server | str], Tab]
PIXEL_S = 0.03  # a lane of about 1,000 pixels shows less than 30 s
SCRIPTS = (
    "<script>window.hacked = 1</script>",
    "<img src=x onerror='window.hacked = 1'>",
    "</script><svg onload=window.hacked=1>",
    "javascript:window.hacked=1",
    "{{constructor.constructor('window.hacked=1')()}}",
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    yield from started()


@pytest.fixture
def tab(browser: Any) -> Iterator[Open]:
    """Opens the page of a server, or a file. No page may ask another place than its own, nor fail."""
    opened: list[tuple[Tab, str]] = []

    def open_(at: Server | str) -> Tab:
        address = at if isinstance(at, str) else at.url
        opened.append((Tab(browser, address), address))
        return opened[-1][0]

    yield open_
    for one, address in opened:
        own = address if address.startswith("file:") else address.split("#")[0]
        assert [url for url in one.requests if not url.startswith((own, "data:", "blob:"))] == []
        one.page.close()


def play(tab: Tab) -> None:
    tab.page.click(".play")
    tab.page.wait_for_function("() => document.querySelector('.play').textContent.includes('pause')")


@pytest.mark.parametrize("name", ["noisy", "natural"])
def test_lanes_and_regions_are_the_events(servers: Callable[[str], Server], sets: Sets, tab: Open, name: str) -> None:
    page = tab(servers(name))
    for number, row in enumerate(Dataset(sets(name)).rows()):
        if number:
            page.page.keyboard.press("j")
        page.shown(number)
        drawn = page.regions()
        expected = {
            f"event--{index}": (event["start_sample"] / 16000, event["end_sample"] / 16000, event["channel"])
            for index, event in enumerate(row["events"])
        }
        for event in row["events"]:
            for pause in event["pauses"]:
                edges = (pause["start_sample"] / 16000, pause["end_sample"] / 16000)
                text = " ".join(str(int(edge) if edge.is_integer() else edge) for edge in edges)
                expected[f"gap {text}"] = (*edges, event["channel"])
        assert drawn.keys() == expected.keys()
        for key, (start_s, end_s, channel) in expected.items():
            assert drawn[key][2] == channel
            assert drawn[key][0] == pytest.approx(start_s, abs=PIXEL_S)
            assert drawn[key][1] == pytest.approx(end_s, abs=PIXEL_S)
    assert page.errors == []


def test_the_playhead_moves_and_words_and_blocks_follow(servers: Callable[[str], Server], tab: Open) -> None:
    page = tab(servers("noisy")).shown(0)
    assert page.time_s == 0
    events = ask(servers("noisy"), "/api/dialogue/0")["events"]
    word, start_s, end_s = events[1]["words"][3]
    page.seek((start_s + end_s) / 2)
    assert page.time_s == pytest.approx((start_s + end_s) / 2, abs=PIXEL_S)
    assert page.page.locator(".word.now").all_inner_texts() == [word]
    assert page.page.locator(".caption.assistant mark").all_inner_texts() == [word]
    before = page.time_s
    play(page)
    page.page.wait_for_function(f"() => Number(document.querySelector('#dialogue').dataset.time) > {before + 1.2}")
    page.page.keyboard.press("Space")
    after = page.time_s
    page.page.wait_for_timeout(300)
    assert page.time_s == after > before + 1.2, "space stops it"
    block = page.page.locator(".blocks li[aria-current]")
    assert int(block.get_attribute("data-block")) == math.floor(after / 0.8)
    place, list_ = block.bounding_box(), page.page.locator(".blocks").bounding_box()
    assert list_["y"] <= place["y"] and place["y"] + place["height"] <= list_["y"] + list_["height"]


def test_solo_silences_the_other_channel(servers: Callable[[str], Server], tab: Open) -> None:
    page = tab(servers("noisy")).shown(0)
    events = ask(servers("noisy"), "/api/dialogue/0")["events"]
    spoken = next(event for event in events if event["channel"] == "assistant")
    page.seek(spoken["start_s"])
    play(page)
    assert page.loudest(0.8)["assistant"] > 0.01
    page.page.click(".lane[data-channel='user'] button:text-is('S')")
    page.seek(spoken["start_s"])
    page.page.wait_for_timeout(150)
    alone = page.loudest(0.8)
    assert alone["assistant"] == 0 < alone["user"], "its noise is heard alone"
    page.page.click(".lane[data-channel='user'] button:text-is('S')")
    page.page.click(".lane[data-channel='user'] button:text-is('M')")
    page.seek(spoken["start_s"])
    page.page.wait_for_timeout(150)
    muted = page.loudest(0.8)
    assert muted["user"] == 0 < muted["assistant"]


@pytest.mark.parametrize("name", ["streams", "moshi"])
def test_the_stream_view_follows(servers: Callable[[str], Server], sets: Sets, tab: Open, name: str) -> None:
    page = tab(servers(name)).shown(0)
    row = next(Dataset(sets(name)).rows())
    page.seek(5.0)
    column = int(page.page.get_attribute(".streams", "data-column"))
    assert column == 1 + math.floor(page.time_s / 0.08 + 1e-6)
    values = page.page.locator(".streams .value").all_inner_texts()
    assert values[1:] == [str(stream[column]) for stream in row["streams"][1:]] and len(values) == 17
    play(page)
    page.page.wait_for_function(f"() => Number(document.querySelector('.streams').dataset.column) > {column + 8}")


def test_filters_filter(servers: Callable[[str], Server], tab: Open) -> None:
    server = servers("natural")
    page = tab(server).shown(0)
    page.page.wait_for_selector("#filters[data-ready='true']")
    kinds = dict(ask(server, "/api/facets")["tags"]["kind"])
    kind, count = min(kinds.items(), key=lambda item: item[1])
    page.page.select_option("#filters [name=kind]", kind)
    page.page.wait_for_function(f"() => document.querySelector('#found').textContent === '{count} of 3'")
    assert page.page.locator("#rows li").count() == count
    page.page.select_option("#filters [name=kind]", "")
    page.page.wait_for_function("() => document.querySelectorAll('#rows li').length === 3")
    page.page.fill("#filters [name=text]", "LK/1")
    page.page.wait_for_function("() => document.querySelectorAll('#rows li').length === 1")
    assert page.page.locator("#rows li b").all_inner_texts() == ["talk/1"]


def test_rejected_dialogues_and_figures_are_shown(servers: Callable[[str], Server], tab: Open) -> None:
    server = servers("natural")
    page = tab(server).shown(0)
    page.page.click("[data-tab=rejected]")
    (row,) = ask(server, "/api/rejected")["rows"]
    page.page.wait_for_selector(f"text={row['detail'][:40]}")
    page.page.click(f"[data-reason={row['reason']}]")
    page.page.wait_for_selector(f".rejections[data-reason={row['reason']}]")
    assert page.page.locator(".rejections tr").count() == 2
    page.page.click("[data-tab=figures]")
    page.page.wait_for_selector("figure[data-name=transfer_offset_s] svg .curve")
    assert page.page.locator("figure").count() == len(ask(server, "/api/dataset")["histograms"])


def test_keys_go_through_the_table(servers: Callable[[str], Server], tab: Open) -> None:
    page = tab(servers("noisy")).shown(0)
    for key, number in [("j", 1), ("j", 2), ("j", 2), ("k", 1)]:
        page.page.keyboard.press(key)
        page.shown(number)
    assert page.page.locator("#rows li[aria-current]").get_attribute("data-number") == "1"
    page.page.keyboard.press("ArrowRight")
    assert page.time_s == pytest.approx(2)
    page.page.keyboard.press("a")
    assert page.page.get_attribute(".lane[data-channel=user]", "data-audible") == "false"


def test_compare_plays_both_sides_on_one_clock(servers: Callable[[str], Server], tab: Open) -> None:
    server = servers("pairs")
    page = tab(server).shown(0)
    events = ask(server, "/api/dialogue/0")["events"]
    chosen, rejected = (
        next(event for event in events if event["side"] == side and event["differs"]) for side in ("chosen", "rejected")
    )
    drawn = page.regions()
    for event in (chosen, rejected):
        at = drawn[f"event-{event['side']}-{event['index']}"]
        assert at[:2] == pytest.approx((event["start_s"], event["end_s"]), abs=PIXEL_S)
    common_s = max(chosen["start_s"], rejected["start_s"]) + 0.1
    page.seek(common_s if common_s < chosen["end_s"] else chosen["start_s"])
    play(page)
    first = page.loudest(0.7)
    assert first["assistant chosen"] > 0.003 and first["assistant rejected"] == 0
    before = page.time_s
    page.page.click(".compare [data-side=rejected]")
    assert page.time_s >= before, "the clock goes on"
    page.seek(rejected["start_s"])
    page.page.wait_for_timeout(150)
    second = page.loudest(0.7)
    assert second["assistant rejected"] > 0.003 and second["assistant chosen"] == 0
    assert page.page.is_visible(".grid[data-side=rejected]") and not page.page.is_visible(".grid[data-side=chosen]")
    page.page.keyboard.press("x")
    assert page.page.get_attribute(".lane[data-side=rejected]", "data-audible") == "false"
    assert page.errors == []


def test_two_browsers_look_at_once(browser: Any, servers: Callable[[str], Server]) -> None:
    tabs = [Tab(browser, servers("noisy").url) for _ in range(2)]  # each has a profile of its own
    for one in tabs:
        one.shown(0)
    tabs[0].page.keyboard.press("j")
    tabs[0].shown(1)
    play(tabs[1])
    tabs[1].page.wait_for_function("() => Number(document.querySelector('#dialogue').dataset.time) > 0.3")
    assert tabs[0].time_s == 0
    for one in tabs:
        one.page.close()


@pytest.fixture(scope="module")
def hostile(sets: Sets, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set whose ids, texts, words, voices and sources are scripts."""
    numbers = iter(range(100))

    def spoil(row: Row) -> None:
        script = SCRIPTS[next(numbers) % len(SCRIPTS)]
        row |= {"dialogue_id": f"{script} {next(numbers)}", "source": script}
        for event in row["events"]:
            event |= {"text": script, "spoken_text": script, "voice": script}
            for word in event["words"]:
                word["text"] = script
        for one in row["acoustics"] or ():
            one["effect"] = script

    return rewritten(sets("noisy"), tmp_path_factory.mktemp("hostile") / "set", spoil)


def harmless(page: Tab, own_scripts: int) -> None:
    page.page.wait_for_timeout(300)
    assert page.page.evaluate("() => window.hacked") is None
    assert (
        page.page.locator(
            "img, iframe, object, embed, svg[onload], script:not([src]):not([type]):has-text('hacked = 1')"
        ).count()
        == 0
    )
    assert page.page.locator("script").count() == own_scripts
    assert [error for error in page.errors if "Content Security Policy" in error] == [], "nothing even tries"


def test_no_script_of_a_data_set_runs(hostile: Path, tab: Open) -> None:
    with serving(hostile) as server:
        page = tab(server).shown(0)
        row = next(Dataset(hostile).rows())
        assert page.page.inner_text("#dialogue h2") == row["dialogue_id"]
        page.page.wait_for_selector("#filters[data-ready='true']")
        page.seek(row["events"][0]["words"][0]["start_sample"] / 16000 + 0.02)
        assert row["events"][0]["text"][:50] in page.page.inner_text(".caption.user")
        own_scripts = page.page.locator("script[src^='/static/']").count()
        for number in (1, 2):
            page.page.keyboard.press("j")
            page.shown(number)
        for name in ("rejected", "figures"):
            page.page.click(f"[data-tab={name}]")
        harmless(page, own_scripts)


def test_one_file_has_everything(hostile: Path, sets: Sets, tmp_path: Path, tab: Open) -> None:
    for folder, name in [(sets("noisy"), "plain"), (hostile, "hostile"), (sets("pairs"), "pair")]:
        file = tmp_path / f"{name}.html"
        ended = duplexgen("view", folder, "1", "--export", file, cwd=tmp_path)
        assert ended.status == 0 and "Open it in a browser" in ended.said
        page = tab(file.as_uri()).shown(1)
        row = [*Dataset(folder).rows()][1]
        assert page.page.inner_text("#dialogue h2") == row["dialogue_id"]
        if name != "pair":
            assert len([key for key in page.regions() if key.startswith("event")]) == len(row["events"])
        page.seek(2.0)
        play(page)
        assert max(page.loudest(2.0).values()) > 0.003
        assert page.time_s > 2.5 and page.requests == [file.as_uri()]
        assert page.errors == []
        harmless(page, page.page.locator("script").count())
        assert "Redistribution and use in source" in page.page.evaluate(
            "() => JSON.parse(document.getElementById('wavesurfer-license').textContent)"
        )


def test_a_page_of_another_origin_reads_nothing(servers: Callable[[str], Server], browser: Any, tmp_path: Path) -> None:
    """A page from elsewhere may not read the server's answers, by any way that a browser has."""
    server = servers("noisy")
    page = browser.new_page()
    page.goto("about:blank")
    read = page.evaluate(
        """async (url) => {
            const fetched = await fetch(url + 'api/dialogues').then((answer) => answer.text(), () => 'refused');
            const script = await new Promise((done) => {
                const one = document.createElement('script');
                one.onload = () => done('loaded'); one.onerror = () => done('refused');
                one.src = url + 'static/app.js'; document.head.append(one);
            });
            return [fetched, script];
        }""",
        server.url,
    )
    page.close()
    assert read == ["refused", "refused"]
    assert get(server, "/")[1]["content-security-policy"].endswith("frame-ancestors 'none'")
