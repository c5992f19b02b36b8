"""Chromium without a window, driven by playwright: the system's browser, as no other is downloaded."""

import shutil
from collections.abc import Iterator
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = [
    "--no-sandbox",  # for root, as in containers; the pages are ours
    "--autoplay-policy=no-user-gesture-required",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # no name leads anywhere
]
WAIT_MS = 60_000


def started() -> Iterator[Any]:
    """The browser; skips the test if there is none."""
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip(f"no browser: expected one of {', '.join(NAMES)} (Debian: apt-get install chromium)")
    playwright = pytest.importorskip("playwright.sync_api", reason="no playwright: pip install 'duplexgen[browser]'")
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


class Tab:
    """A page of the viewer. It notes every request, every error, and every message of the console."""

    def __init__(self, browser: Any, address: str) -> None:
        self.page = browser.new_page(viewport={"width": 1440, "height": 900})
        self.page.set_default_timeout(WAIT_MS)
        self.requests: list[str] = []
        self.errors: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda said: self.errors.append(said.text) if said.type == "error" else None)
        self.page.goto(address)

    def shown(self, number: int) -> "Tab":
        """Once a dialogue is drawn, its lanes too."""
        self.page.wait_for_selector(f"#dialogue[data-shown='{number}']")
        self.page.wait_for_function(
            "() => document.querySelector('[data-drawn]') && !document.querySelector('[data-lane]:not([data-drawn])')"
        )
        return self

    @property
    def time_s(self) -> float:
        return float(self.page.get_attribute("#dialogue", "data-time"))

    def seek(self, seconds: float) -> None:
        """By a click on a lane's waveform."""
        box = self.page.locator(".lane[data-lane='0'] .wave").bounding_box()
        share = seconds / float(self.page.get_attribute("#dialogue", "data-length"))
        self.page.mouse.click(box["x"] + share * box["width"], box["y"] + box["height"] * 0.6)

    def loudest(self, seconds: float) -> dict[str, float]:
        """How loud each lane gets while the page plays for so long, by channel and side."""
        levels: dict[str, float] = self.page.evaluate(
            """async (ms) => {
                const levels = {};
                const until = performance.now() + ms;
                while (performance.now() < until) {
                    for (const lane of document.querySelectorAll('.lane[data-lane]')) {
                        const name = [lane.dataset.channel, lane.dataset.side].join(' ').trim();
                        levels[name] = Math.max(levels[name] || 0, Number(lane.dataset.level || 0));
                    }
                    await new Promise(requestAnimationFrame);
                }
                return levels;
            }""",
            seconds * 1000,
        )
        return levels

    def regions(self) -> dict[str, tuple[float, float, str]]:
        """Start, end and lane of each event as it is drawn, in seconds, by its name; of each gap in it, too."""
        found: list[tuple[str, float, float, str]] = self.page.evaluate(
            """() => [...document.querySelectorAll('.lane[data-lane]')].flatMap((lane) => {
                const root = lane.querySelector('.wave > div').shadowRoot;
                const whole = root.querySelector('.wrapper').getBoundingClientRect();
                const length = Number(document.querySelector('#dialogue').dataset.length);
                const place = (name, element) => {
                    const box = element.getBoundingClientRect();
                    const [start, end] = [box.left, box.right].map((x) => (x - whole.left) / whole.width * length);
                    return [name, start, end, lane.dataset.channel];
                };
                const events = [...root.querySelectorAll('[part*="event-"]')];
                const gaps = events.flatMap((event) => [...event.querySelectorAll('[data-gap]')]);
                return [...events.map((event) => place(event.part.value.split(' ')[1], event)),
                    ...gaps.map((gap) => place(`gap ${gap.dataset.gap}`, gap))];
            })"""
        )
        return {name: (start, end, channel) for name, start, end, channel in found}
