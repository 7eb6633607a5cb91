"""The tables of options in docs/ are what the models say, those of figures what the scripts wrote."""

import json
import re
from pathlib import Path

import onnxruntime
import pytest

from benchmarks import results, service
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
    assert sorted(name for name, _ in MADE.findall(text)) == sorted(generated.NAMES)
    there = {path.stem for path in (ROOT / "benchmarks/results").glob("*.json")}
    assert there == set(figures.there())


def test_a_table_without_json_stays_as_somebody_put_it_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "RESULTS", tmp_path)
    text = (
        "<!-- generated: speed -->\nPut down by hand:\n\n| a |\n|---|\n| 1 |\n<!-- /generated -->\n"
    )
    assert generated.page(text) == text
    with pytest.raises(ValueError, match="nothing makes 'spede'; there are "):
        generated.page(text.replace("speed", "spede"))


def test_what_was_put_down_by_hand_says_when() -> None:
    for page in generated.PAGES:
        for name, body in MADE.findall((ROOT / "docs" / page).read_text()):
            if name in figures.NAMES and name not in figures.there():
                assert re.search(r"put down by hand, .*\b20\d\d\b", body, re.IGNORECASE), name


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
    day = json.loads(path.read_text())["date"].partition("T")[0]
    assert made.endswith(f", {day}, seed 7.\n")
    assert json.loads(results.write("next", []).read_text())["tables"] == []


def test_json_of_a_whole_run_is_taken_over_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written, committed, images = (tmp_path / name for name in ("written", "committed", "images"))
    committed.mkdir()
    images.mkdir()
    monkeypatch.setattr(results, "FOLDER", written)
    for name, whole in (("speed", True), ("codec", False), ("demo", True)):
        results.write(name, [], whole=whole)
    results.write("size", [])
    (written / "size.svg").write_text("new")
    (images / "size.svg").write_text("old")
    (written / "scale.json").write_text('{"tables": [], "results": []}')  # of an old script
    assert figures.take_over(written, committed, images) == ["size", "speed"]
    assert sorted(path.name for path in committed.iterdir()) == ["size.json", "speed.json"]
    assert (images / "size.svg").read_text() == "new"
    assert figures.take_over(written, committed, images) == []


def test_parts_are_measured_one_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "FOLDER", tmp_path / "written")
    monkeypatch.setattr(results, "COMMITTED", tmp_path)
    killed = {"jobs": 9, "kills": {"api": 3}, "lost": 1, "differ": 0}
    old = {**results.measured(), "found": killed, "facts": {}, "date": "2026-11-01T10:00:00+00:00"}
    idle = {"median": 20.0, "most": 21.0, "first": 21.0}
    (tmp_path / "service.json").write_text(
        json.dumps({"parts": {"kills": old, "latency": {**old, "found": idle}}})
    )
    path = service.keep(
        "service", results.with_kept("service", {"latency": {**idle, "median": 2.0}})
    )
    found = json.loads(path.read_text())
    assert found["results"]["kills"] == killed
    assert found["results"]["latency"]["median"] == 2.0
    rows = {row[0].partition(",")[0]: row[1:] for row in found["tables"][0]["rows"]}
    assert rows["lost or different of 9 jobs"] == ["1", "0", "0", "MISSED", "2026-11-01"]
    assert rows["from POST to artifact"][:4] == ["2 s", "10 s", "3 s", "aim"]
    made = figures.tables(path)
    assert "Sparsebook 0.1.0, 2026-11-01, 20" in made
    again = results.with_kept("service", {})
    assert (again["latency"]["found"]["median"], again["kills"]) == (2.0, old)
