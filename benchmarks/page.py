"""The page and the report in a real Chromium: bytes, and how long until they can be used.

    .venv/bin/python -m benchmarks.page [--executable /usr/bin/chromium]

The page: from the start of the navigation on the loopback until the list of jobs is there, in a fresh profile each time. The report:
that of VGG-16 at the paper's densities and bits, opened from the disk until it is laid out. `make page-bench` finds Chromium.
"""

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, sync_playwright

from benchmarks.results import show, write
from benchmarks.scale import LLOYD, SEED, built, paper_config
from sparsebook_compressor import compress
from sparsebook_runtime import library_path
from tests.e2e.servers import Server

RUNS = 7
# Laid out and painted: two frames after the load event.
_SETTLED = """() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(
    () => done(performance.now()))))"""


def main() -> None:
    """Run it, print the table, write the JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--executable", default="/usr/bin/chromium")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        report, seconds = vgg_report(Path(folder))
        sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=arguments.executable, args=sandbox)
        server = Server(Path(folder)).start()
        try:
            rows = [page_row(browser, server.url), report_row(browser, report)]
        finally:
            server.stop()
        facts = {"chromium": browser.version, "vgg16_compress_seconds": seconds}
        browser.close()
    show(
        "What a person waits for, seconds",
        ("what", "bytes", "requests", "median", "worst"),
        [
            (
                row["what"],
                f"{row['bytes']:,}",
                str(row["requests"]),
                f"{row['median']:.3f}",
                f"{row['worst']:.3f}",
            )
            for row in rows
        ],
    )
    print("written:", write("page", [*rows, facts], seed=SEED))


def vgg_report(folder: Path) -> tuple[Path, float]:
    """The report of VGG-16, and the seconds that the compression took."""
    config = paper_config("vgg16", LLOYD["30 steps"], "operator")
    started = time.perf_counter()
    compress(
        built("vgg16"), folder / "vgg16", config, operator_library=library_path(), verify=False
    )
    return folder / "vgg16/report.html", time.perf_counter() - started


def page_row(browser: Browser, url: str) -> dict[str, Any]:
    """The page on the loopback."""
    bodies: list[int] = []
    seconds = []
    for run in range(RUNS):
        page = browser.new_context().new_page()
        if run == 0:
            page.on("response", lambda answer: bodies.append(len(answer.body())))
        page.goto(url, wait_until="commit")
        page.wait_for_selector("#jobs[aria-busy=false]")
        seconds.append(page.evaluate(_SETTLED) / 1000)
        page.context.close()
    return _row("page, first visit", sum(bodies), len(bodies), seconds)


def report_row(browser: Browser, report: Path) -> dict[str, Any]:
    """The report from the disk."""
    seconds = []
    for _ in range(RUNS):
        page = browser.new_context().new_page()
        page.goto(report.as_uri())
        seconds.append(page.evaluate(_SETTLED) / 1000)
        page.context.close()
    return _row("report of VGG-16", report.stat().st_size, 1, seconds)


def _row(what: str, size: int, requests: int, seconds: list[float]) -> dict[str, Any]:
    return {
        "what": what,
        "bytes": size,
        "requests": requests,
        "median": statistics.median(seconds),
        "worst": max(seconds),
    }


if __name__ == "__main__":
    main()
