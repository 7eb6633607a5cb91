"""The tables of options in docs/ are what the models say, those of figures what the scripts wrote."""

import json
import re
from pathlib import Path

import onnxruntime
import pytest

from benchmarks import results
from docs.site import figures, generated, reference
from sparsebook_compressor.config import Config, WeightOverride
from sparsebook_service.settings import Settings
from tests.docs.blocks import ROOT

MADE = re.compile(r"<!-- generated: ([\w-]+) -->\n(.*?)<!-- /generated -->", re.DOTALL)


@pytest.mark.parametrize("name", generated.PAGES)
def test_a_page_has_what_models_and_scripts_say(name: str) -> None:
    text = (ROOT / "docs" / name).read_text()
    assert generated.page(text) == text, "`make reference` writes the page again"


def test_every_table_is_on_a_page() -> None:
    text = "".join((ROOT / "docs" / name).read_text() for name in generated.PAGES)
    assert sorted(name for name, _ in MADE.findall(text)) == sorted(generated.TABLES)


def test_a_page_that_is_behind_is_made_again() -> None:
    behind = "before\n<!-- generated: overrides -->\n| stale |\n<!-- /generated -->\nbehind\n"
    made = generated.page(behind)
    assert made.startswith("before\n<!-- generated: overrides -->\n| key | values | meaning |\n")
    assert made.endswith("\n<!-- /generated -->\nbehind\n")
    assert "stale" not in made


def test_every_option_says_what_it_is_for() -> None:
    assert all(field.description for field in Settings.model_fields.values())
    for model in (Config, WeightOverride):
        rows = dict(reference._options(model.model_json_schema()))
        assert all(each["description"] for each in rows.values())
    assert len(rows) == len(WeightOverride.model_fields)


@pytest.mark.parametrize(
    "row",
    [
        "| `preset` | `safe`, `paper`, `small` | `safe` |",
        "| `seed` | 0 to 2^63 - 1 | `0` |",
        "| `weights` | an object | `{}` |",
        "| `prune.method` | `magnitude` | `magnitude` |",
        "| `share.retrain` | true, false | `false` |",
        "| `share.iterations` | 0 to 100,000, or null | null |",
        "| `train.learning_rate` | over 0, at most 10, or null | null |",
        "| `train.noise` | at least 0, below 1 | `0` |",
    ],
)
def test_values_and_defaults_are_words(row: str) -> None:
    assert row in reference.config()


@pytest.mark.parametrize(
    "row",
    [
        "| `SPARSEBOOK_MAX_UPLOAD_BYTES` | 4294967296 (4 GiB) |",
        "| `SPARSEBOOK_WORKERS` | one a processor, two at least | jobs that run at once on this host |",
        "| `SPARSEBOOK_SOURCES` | none |",
        "| `SPARSEBOOK_WEBHOOK_PAUSES` | `5,300,1800,7200,18000,36000,50400,72000,86400` |",
        "| `SPARSEBOOK_SERVE_JOBS` | `true` |",
    ],
)
def test_settings_have_their_defaults(row: str) -> None:
    assert row in reference.settings()


def test_figures_are_those_that_a_script_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "FOLDER", tmp_path)
    results.show("Bytes", ("model", "bytes"), [("a|b", "<1 KB")])
    path = results.write("some", {"bytes": 999}, seed=7)
    made = figures.tables(path)
    assert made.startswith("Bytes:\n\n| model | bytes |\n|---|---|\n| a\\|b | &lt;1 KB |\n")
    assert f"ONNX Runtime {onnxruntime.__version__}" in made
    assert made.endswith(", seed 7.\n")
    assert json.loads(results.write("next", []).read_text())["tables"] == []
