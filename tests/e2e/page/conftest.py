"""A real Chromium, driven by Playwright. `make .chromium` finds or brings it; without one these tests are skipped, and say so."""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

from tests.e2e.servers import Server

ROOT = Path(__file__).parents[3]
SHOTS = ROOT / "build/screenshots"
# A machine may be busy with other tests.
SECONDS = 120
expect.set_options(timeout=1000 * SECONDS)

Open = Callable[..., Page]


def executable() -> str | None:
    """Where Chromium is."""
    brought = ROOT / ".chromium/chromium"
    return str(brought) if brought.exists() else shutil.which("chromium")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    found = executable()
    if found is None:
        pytest.skip(
            "NO CHROMIUM, SO THE PAGE IS NOT TESTED: make page-test (Debian: apt-get install chromium)"
        )
    # Chromium's own sandbox does not let root in.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=found, args=arguments)
        yield started
        started.close()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Open]:
    """Opens a page in a profile of its own. Whatever it writes to the console as an error fails the test, unless it is `allowed`."""
    opened: list[tuple[Page, list[str], str | None]] = []

    def open_one(
        server: Server,
        path: str = "/",
        *,
        width: int = 1200,
        dark: bool = False,
        allowed: str | None = None,
    ) -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme="dark" if dark else "light",
            accept_downloads=True,
        )
        context.set_default_timeout(1000 * SECONDS)
        page, errors = context.new_page(), []

        def hear(message: ConsoleMessage) -> None:
            if message.type in ("error", "warning"):
                errors.append(message.text)

        page.on("console", hear)
        page.on("pageerror", lambda error: errors.append(str(error)))
        opened.append((page, errors, allowed))
        page.goto(server.url + path)
        return page

    yield open_one
    for page, errors, allowed in opened:
        page.context.close()
        wrong = [each for each in errors if allowed is None or not re.search(allowed, each)]
        assert wrong == []


@pytest.fixture
def shoot(request: pytest.FixtureRequest) -> Callable[[Page, str], None]:
    """Keeps a screenshot under build/screenshots."""

    def keep(page: Page, what: str) -> None:
        SHOTS.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=SHOTS / f"{what}.png", full_page=True)

    return keep
