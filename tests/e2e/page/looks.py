"""What the tests of the page do and ask again and again."""

from pathlib import Path

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

SERIOUS = {"serious", "critical"}


def send(page: Page, *files: Path, way: str = "safe") -> str:
    """Choose files and send them; the id of the job, whose page is open then."""
    page.set_input_files("#files", list(files))
    page.check(f"input[value={way}]")
    page.click("#go")
    page.wait_for_url("**/page/jobs/*")
    return page.url.rsplit("/", 1)[-1]


def ends(page: Page, state: str) -> None:
    """Wait for the end of the job that is shown."""
    expect(page.locator(".job:not([data-live])")).to_have_attribute("data-state", state)


def comes(page: Page, condition: str) -> None:
    """Wait until something holds in the page, whose policy forbids the waiting that is done in there."""
    for _ in range(6000):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(20)
    raise AssertionError(f"it never came: {condition}")


def is_accessible(page: Page) -> None:
    """Nothing that axe-core calls serious."""
    found = Axe().run(page).response["violations"]
    serious = [
        (each["id"], [node["target"] for node in each["nodes"]][:5])
        for each in found
        if each["impact"] in SERIOUS
    ]
    assert serious == []


def fits(page: Page) -> None:
    """Nothing is wider than the window."""
    wide, room = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    assert wide <= room
