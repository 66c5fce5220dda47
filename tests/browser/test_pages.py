"""The pages in a real browser: they draw, on laptop and phone, and call nobody."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from ops.screenshot import LAPTOP, PHONE, open_browser, running_dashboard, wait_until_drawn
from tests.helpers.dashboard import publish_small

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        not (shutil.which("chromium") or shutil.which("chromium-browser")),
        reason="there is no chromium on this machine",
    ),
]

PAGES = {
    "": "ED return visits",
    "ed-flow": "ED flow",
    "chart-audit": "Chart audit",
    "claims": "Claims",
    "cohorts": "Cohorts",
    "data-quality": "Data quality",
}
SIZES = {"laptop": LAPTOP, "phone": PHONE}
HERE = {"127.0.0.1", "localhost"}


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    settings = publish_small(tmp_path_factory.mktemp("browser"))
    with running_dashboard(settings) as address:
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with open_browser() as browser:
        yield browser


class Watched:
    """A page that remembers its errors and every host it asked."""

    def __init__(self, browser: Any, size: tuple[int, int]) -> None:
        self.page = browser.new_page(viewport={"width": size[0], "height": size[1]})
        self.errors: list[str] = []
        self.hosts: set[str] = set()
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", self._on_console)
        self.page.on("request", lambda request: self._on_url(request.url))
        self.page.on("websocket", lambda socket: self._on_url(socket.url))

    def _on_console(self, message: Any) -> None:
        # Streamlit looks for its server below a page's own address first; that 404 is its way.
        if message.type == "error" and "404" not in message.text:
            self.errors.append(message.text)

    def _on_url(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("data", "blob"):
            self.hosts.add(parts.hostname or url)


@pytest.fixture(params=SIZES, ids=list(SIZES))
def watched(request: pytest.FixtureRequest, browser: Any) -> Iterator[Watched]:
    opened = Watched(browser, SIZES[request.param])
    yield opened
    opened.page.close()


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path or "ed-returns")
def test_page_draws_without_errors_and_calls_nobody(
    path: str, address: str, watched: Watched
) -> None:
    page = watched.page
    page.goto(f"{address}/{path}")
    wait_until_drawn(page)
    assert page.locator("h1").inner_text() == PAGES[path]
    assert "Synthetic data." in page.locator(".s-banner").inner_text()
    assert page.locator("[data-testid='stException']").count() == 0
    assert watched.errors == []
    assert watched.hosts
    assert watched.hosts <= HERE
    # Nothing wider than the screen but tables, which scroll in their own frame.
    width = page.viewport_size["width"]
    assert page.evaluate("() => document.documentElement.scrollWidth") <= width
    for chart in page.locator("[data-testid='stVegaLiteChart']").all():
        box = chart.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
        assert box["height"] > 150
        assert chart.locator("canvas, svg").first.bounding_box()["width"] <= width


def test_reader_goes_from_network_to_own_figures_and_to_the_table(
    address: str, watched: Watched
) -> None:
    page = watched.page
    page.goto(address)
    wait_until_drawn(page)
    page.get_by_role("combobox", name="Whose figures").click()
    page.get_by_role("option", name="Mill Valley Hospital").click()
    page.get_by_text("Sign-in comes later").wait_for()
    wait_until_drawn(page)
    page.get_by_text("Show these figures as a table").first.click()
    table = page.locator("table", has_text="Returns by month")
    table.wait_for()
    assert table.locator("tbody tr").count() == 19
    assert "hidden" not in table.inner_text()
    page.get_by_role("button", name="Definitions").click()
    page.get_by_text("counted for the hospital that sent").wait_for()
    assert watched.errors == []
    assert watched.hosts <= HERE
