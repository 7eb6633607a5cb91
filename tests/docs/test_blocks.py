"""What pages tell people to type is typed here."""

import json
from collections import Counter
from pathlib import Path

import pytest

from sparsebook_compressor import Config
from tests.docs.blocks import NOT_RUN, RUN, Block, blocks, pages
from tests.docs.standing import Standing
from tests.e2e.servers import Server

ALL = [block for page in pages() for block in blocks(page)]
RUNNING = [block for block in ALL if block.language in RUN and block.not_run is None]

# Blocks that are not run, each with its reason before it on the page. A new one is to be seen here.
MARKED = {
    "README.md": 4,
    "docs/benchmarks.md": 1,
    "docs/operations.md": 1,
    "docs/pipelines/README.md": 1,
    "docs/quickstart.md": 1,
    "docs/scaling.md": 1,
    "docs/training.md": 1,
    "docs/tutorials/http.md": 1,
}


def test_blocks_that_are_not_run_are_counted() -> None:
    assert Counter(block.page for block in ALL if block.not_run is not None) == MARKED


def test_every_block_has_a_language_that_is_known() -> None:
    """A shell's block without its name would not be run."""
    strange = [
        f"{block} {block.language!r}" for block in ALL if block.language not in RUN | NOT_RUN
    ]
    assert not strange


@pytest.mark.parametrize("page", sorted({block.page for block in RUNNING}))
def test_a_page_runs(page: str, source: Path, server: Server, tmp_path: Path) -> None:
    standing = Standing(tmp_path / "page", source, server.url)
    for block in RUNNING:
        if block.page == page:
            standing.run(block)


@pytest.mark.parametrize("block", [block for block in ALL if block.language == "json"], ids=str)
def test_json_is_json(block: Block) -> None:
    shown = json.loads(block.code)
    if block.page.endswith("configuration.md"):
        Config.parse(shown)
