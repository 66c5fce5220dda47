"""Take the README's picture from the running dashboard: ``python -m ops.screenshot``.

Needs what was published last under SCUTARI_HOME, the development dependencies and a Chromium.
"""

from __future__ import annotations

import shutil
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from governance.settings import PROJECT_ROOT, Settings, default_home
from ops import serve

PICTURE = PROJECT_ROOT / "docs" / "images" / "ed_returns.png"
# Tall enough for the month chart with its legend.
PICTURE_SIZE = (1280, 1010)
LAPTOP = (1280, 900)
PHONE = (390, 844)
ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PATIENCE_MS = 30_000


def free_port() -> int:
    """Return a port nobody listens on."""
    with socket.socket() as probe:
        probe.bind((serve.ADDRESS, 0))
        return int(probe.getsockname()[1])


@contextmanager
def running_dashboard(settings: Settings) -> Iterator[str]:
    """Serve an installation's pages for a while; yield their address."""
    port = free_port()
    server = serve.start(settings, port)
    try:
        serve.wait_until_up(server, port)
        yield f"http://{serve.ADDRESS}:{port}"
    finally:
        serve.stop(server)


@contextmanager
def open_browser() -> Iterator[Any]:
    """Start the system's Chromium; yield playwright's browser.

    Raises:
        RuntimeError: there is no Chromium on this machine.
    """
    from playwright.sync_api import sync_playwright  # noqa: PLC0415

    executable = shutil.which("chromium") or shutil.which("chromium-browser")
    if executable is None:
        raise RuntimeError("There is no chromium on this machine: install your system's package.")
    with sync_playwright() as player:
        browser = player.chromium.launch(executable_path=executable, args=list(ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()


def wait_until_drawn(page: Any) -> None:
    """Wait until the page's script has ended and its charts are on the screen."""
    page.wait_for_selector("h1", timeout=PATIENCE_MS)
    page.wait_for_selector(
        "[data-testid='stApp'][data-test-script-state='notRunning']", timeout=PATIENCE_MS
    )
    page.wait_for_function(
        "() => [...document.querySelectorAll('[data-testid=\"stVegaLiteChart\"]')]"
        ".every(chart => chart.querySelector('canvas, svg'))",
        timeout=PATIENCE_MS,
    )
    page.wait_for_timeout(400)


def main() -> int:
    """Write the picture."""
    settings = Settings(home=default_home())
    with running_dashboard(settings) as address, open_browser() as browser:
        page = browser.new_page(viewport={"width": PICTURE_SIZE[0], "height": PICTURE_SIZE[1]})
        page.goto(f"{address}/")
        wait_until_drawn(page)
        PICTURE.parent.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=str(PICTURE))
    sys.stdout.write(f"{PICTURE}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
