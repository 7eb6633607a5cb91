"""README.md's model of digits is retrained as a reader does it, and comes to the figures that stand there."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.docs.blocks import ROOT, blocks
from tests.docs.standing import Standing

[DIGITS] = [block for block in blocks("README.md") if "mnist_5k" in block.code]
POINT = 0.01  # another processor adds in another order; five of the test part's 500 digits


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder where all lines of the block have run."""
    folder = tmp_path_factory.mktemp("digits") / "page"
    standing = Standing(folder, tmp_path_factory.mktemp("nothing"), "")
    for name in (".models", "benchmarks"):
        (folder / name).symlink_to(ROOT / name)
    standing.run(DIGITS)
    return folder


def said(out: str) -> str:
    """What the block's line about a bundle says of it."""
    found = re.search(rf" -o {out} +# (.+)$", DIGITS.code, re.MULTILINE)
    assert found, out
    return found[1]


def share(text: str) -> float:
    [found] = re.findall(r"([\d.]+)%", text)
    return float(found) / 100


def report(page: Path, out: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((page / out / "report.json").read_text())
    return found


def metrics(page: Path, out: str) -> dict[str, float]:
    """The metric on the test part by stage."""
    return {row["stage"]: row["metric"] for row in report(page, out)["training"]["stages"]}


def test_retrained_it_is_as_small_and_reads_as_well_as_the_page_says(page: Path) -> None:
    files = report(page, "digits")
    [ratio] = re.findall(r"\b(\d+)x", said("digits"))
    assert round(files["input"]["bytes"] / files["artifact"]["bytes"]) == int(ratio)
    assert metrics(page, "digits")["artifact"] == pytest.approx(share(said("digits")), abs=POINT)
    assert report(page, "digits")["training"]["splits"]["test"]["samples"] == 500


def test_tuning_brings_back_what_the_page_says(page: Path) -> None:
    found = metrics(page, "tuned")
    assert found["artifact"] == pytest.approx(share(said("plain")), abs=POINT)
    assert found["tuned"] == pytest.approx(share(said("tuned")), abs=POINT)
    plain, tuned = (page / out / "model.onnx" for out in ("plain", "tuned"))
    assert plain.stat().st_size == tuned.stat().st_size
