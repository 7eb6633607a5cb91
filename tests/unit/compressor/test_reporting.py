"""The report as a page: all that the paper shows, nothing that a stranger wrote as markup, and small."""

import dataclasses
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

import sparsebook_compressor as compressor
from sparsebook_compressor import Config, Report
from sparsebook_compressor.errors import BadValue
from sparsebook_compressor.protocol import Phase, Point, Protocol, StageMetric
from sparsebook_compressor.report import KeptRow, Update
from sparsebook_compressor.reporting import charts
from sparsebook_compressor.reporting.page import document, part
from sparsebook_compressor.reporting.templates import breakable
from tests.e2e import models

EVIL = "\"><img src=x onerror=alert(1)><script>alert(2)</script>&'"
METRIC = ("Metric", "epoch", "metric")
VOID = {"meta", "img", "input", "br", "link", "path", "rect", "wbr"}


class Tags(HTMLParser):
    """Every tag with its attributes; complains where they do not nest."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self._open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self._open.pop() == tag

    def close(self) -> None:
        super().close()
        assert self._open == []


def tags(page: str) -> list[tuple[str, dict[str, str | None]]]:
    parser = Tags()
    parser.feed(page)
    parser.close()
    return parser.found


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reporting")
    (folder / "tiny.onnx").write_bytes(models.small())
    compressor.compress(
        folder / "tiny.onnx", folder / "out", Config.parse({"preset": "paper"}), verify=False
    )
    return folder / "out"


@pytest.fixture(scope="module")
def report(bundle: Path) -> Report:
    return Report.from_json((bundle / "report.json").read_text())


def trained() -> Protocol:
    epochs = [
        {"epoch": at, "loss": 1 / (at + 1), "eval_loss": 1.0, "metric": 0.9} for at in range(4)
    ]
    phase = Phase("retrain", 1, 0.1, 0.001, 0, (), 3, "finished", 1.0, 99.0, "cpu")
    raw = {**dataclasses.asdict(phase), "epochs": epochs}
    points = tuple(
        Point(at, 1000 - at, 2.0**at, 0.5**at, None if at == 3 else 0.9, 0.0, at < 3, at == 2)
        for at in (1, 2, 3)
    )
    found = Protocol(
        loss=EVIL,
        metric=EVIL,
        splits={"train": {"part": "train", "samples": 9, "origin": "given"}},
        settings={"epochs": 3, EVIL: EVIL},
        stages=(StageMetric("original", 0.91, 0.0), StageMetric("artifact", None, None)),
        phases=(),
        points=points,
        frozen=((EVIL, EVIL),),
        rewritten=(EVIL,),
        versions={"onnx": EVIL},
    )
    plain = dataclasses.asdict(found)
    return Protocol.from_plain({**plain, "phases": [raw]})


def test_the_bundle_has_it(bundle: Path, report: Report) -> None:
    page = (bundle / "report.html").read_text()
    assert page == document(report)
    assert str(part(report)) in page
    for heading in (
        "Where the bytes went",
        "Layers",
        "Inside each weight",
        "Left alone",
        "Protocol",
    ):
        assert f"<h2>{heading}</h2>" in page
    ids = {a["id"] for _, a in tags(page) if "id" in a}
    jumps = [(a["href"] or "")[1:] for tag, a in tags(page) if tag == "a"]
    assert set(jumps) <= ids
    assert len(jumps) >= 5
    for caption in (
        "values before pruning",
        "survivors",
        "centroids",
        "codes; 0 is a filler",
        "gaps",
    ):
        assert caption in page
    assert report.artifact.sha256 in page


def test_it_asks_for_nothing_and_runs_only_its_own(report: Report) -> None:
    page = document(report)
    found = tags(page)
    for tag, attributes in found:
        assert not {"src", "style"} & set(attributes), tag
        assert (attributes.get("href") or "#").startswith("#"), tag
        assert not [name for name in attributes if name.startswith("on")]
    policy = next(a["content"] for t, a in found if t == "meta" and a.get("http-equiv"))
    assert policy is not None
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    assert "url(" not in page
    assert "@import" not in page


def test_what_strangers_wrote_is_text(report: Report) -> None:
    names = {row.name: f"{row.name}{EVIL}" for row in report.weights}
    harmful = dataclasses.replace(
        report,
        input=dataclasses.replace(report.input, name=EVIL),
        weights=tuple(
            dataclasses.replace(row, name=names[row.name], role=EVIL, form=EVIL, operators=(EVIL,))
            for row in report.weights
        ),
        looks=tuple(dataclasses.replace(look, name=names[look.name]) for look in report.looks),
        kept=(KeptRow(EVIL, (3,), 12, EVIL),),
        notes=(EVIL,),
        config={EVIL: EVIL},
        versions={EVIL: EVIL},
        training=trained(),
    )
    page = document(harmful)
    plain = document(dataclasses.replace(harmful, training=None))
    for text in (page, plain):
        found = tags(text)
        assert [tag for tag, _ in found if tag in ("img", "iframe", "object")] == []
        assert len([tag for tag, _ in found if tag == "script"]) == 1
        assert "<img" not in text
    assert page.count("&lt;img src=x") > 20


def test_training_is_drawn(report: Report) -> None:
    page = str(part(dataclasses.replace(report, training=trained())))
    found = tags(page)
    circles = [attributes["class"] for tag, attributes in found if tag == "circle"]
    assert circles == ["met", "chosen"]  # the third has no metric
    lines = [
        attributes["d"]
        for tag, attributes in found
        if (attributes.get("class") or "").startswith("line ")
    ]
    assert [line.count("L") for line in lines if line] == [3, 3]
    assert "unknown" in page  # the artifact's metric


def test_an_artifact_alone_tells_what_it_can(bundle: Path, report: Report, tmp_path: Path) -> None:
    alone = tmp_path / "artifact.onnx"
    alone.write_bytes((bundle / "model.onnx").read_bytes())
    assert compressor.recover(bundle) == compressor.recover(bundle / "model.onnx") == report
    found = compressor.recover(alone)
    assert found.bytes == report.bytes
    assert found.artifact.sha256 == report.artifact.sha256
    assert "artifact alone" in found.notes[0]
    for now, then in zip(found.weights, report.weights, strict=True):
        assert now.relative_error is None
        kept = (
            "name",
            "shape",
            "elements",
            "density",
            "code_bits",
            "gap_bits",
            "bytes_after",
            "centroids",
        )
        assert [getattr(now, name) for name in kept] == [getattr(then, name) for name in kept]
        assert now.rate_shared == pytest.approx(then.rate_shared, rel=0.01)
        assert now.code_bits_huffman == pytest.approx(then.code_bits_huffman, rel=0.02)
    for now_look, then_look in zip(found.looks, report.looks, strict=True):
        assert now_look == dataclasses.replace(then_look, histogram=None)
    assert "does not tell what the values were before pruning" in document(found)
    assert Report.from_json(found.to_json()) == found


def test_another_report_beside_it_is_not_believed(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes((bundle / "model.onnx").read_bytes())
    for text in (
        "{",
        "[]",
        '{"format": 1}',
        (bundle / "report.json").read_text().replace("sha256", "x"),
    ):
        (tmp_path / "report.json").write_text(text)
        assert "artifact alone" in compressor.recover(tmp_path).notes[0]


def test_a_plain_model_has_no_report(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(models.small())
    with pytest.raises(BadValue, match="does not tell what was done"):
        compressor.recover(tmp_path)
    with pytest.raises(BadValue, match=r"no model\.onnx in this folder"):
        compressor.recover(tmp_path / "..")


def test_many_weights_make_no_large_page(report: Report) -> None:
    """A hundred weights with all that can be drawn."""
    row, look = report.weights[0], report.looks[0]
    codebook = tuple(np.linspace(-1, 1, 255).round(5).tolist())
    full = dataclasses.replace(look, codebook=codebook, start=codebook)
    large = dataclasses.replace(
        report,
        weights=tuple(dataclasses.replace(row, name=f"layer.{at}.weight") for at in range(300)),
        looks=tuple(dataclasses.replace(full, name=f"layer.{at}.weight") for at in range(100)),
    )
    assert len(document(large)) < 2_000_000
    assert "100 largest of 300 weights" in document(large)


def test_numbers_of_a_report_take_a_line(report: Report) -> None:
    text = report.to_json()
    assert len(text) < 30_000
    assert re.search(r'"strip": \[ \d+, \d+', text)


def test_what_never_changes_is_a_line_in_the_middle() -> None:
    drawn = charts.lines([("metric", [(0.0, 1.0), (1.0, 1.0), (2.0, 1.0)])], *METRIC)
    assert 'd="M46.0 74.0L199.0 74.0L352.0 74.0"' in drawn
    assert re.findall(r">([^<]+)</text>", drawn) == ["0", "1", "2", "epoch", "metric"]


def test_labels_of_an_axis_are_told_apart() -> None:
    drawn = charts.lines([("metric", [(0.0, 0.9996), (1.0, 1.0)])], *METRIC)
    assert re.findall(r">([^<]+)</text>", drawn) == ["0", "0.9996", "1", "1", "epoch", "metric"]


def test_axes_and_bars_say_what_they_are() -> None:
    drawn = charts.distribution((1, 3), 1, "gaps")
    assert re.findall(r">([^<]+)</text>", drawn) == [
        "tallest bar: 75% of them",
        "zeros before a non-zero",
        "0",
        "1",
    ]
    points = [(2.0, 0.9, True, False), (4.0, 0.8, True, True)]
    drawn = charts.scatter(points, "times smaller", EVIL)
    assert ">times smaller</text>" in drawn
    assert "<title>4×, 0.8</title>" in drawn
    assert "<img" not in drawn


def test_long_names_break_between_their_parts() -> None:
    assert breakable("a/b_0:0") == "a/<wbr>b_0:0"
    assert breakable("onnx::MatMul_470") == "onnx::<wbr>MatMul_470"
    assert breakable("h.0.attn_w") == "h.0.<wbr>attn_<wbr>w"
    assert breakable("<b>") == "&lt;b&gt;"


def test_many_trainings_and_many_tensors_are_folded_up(report: Report) -> None:
    """A search trains dozens of times, and a transformer has a hundred tensors that stay: the report is read nevertheless."""
    few = trained()
    kept = tuple(KeptRow(f"bias.{at}", (3,), 12, "not a weight") for at in range(20))
    for phases, rows, folded in ((few.phases, kept[:1], False), (few.phases * 20, kept, True)):
        many = dataclasses.replace(
            report, training=dataclasses.replace(few, phases=phases), kept=rows
        )
        found = [
            attributes
            for tag, attributes in tags(str(part(many)))
            if tag == "details" and attributes["class"] in ("curves", "kept")
        ]
        assert [("open" not in each) for each in found] == [folded, folded]
    assert "20 tensors stay as they were: 240 B" in part(many)


def test_an_update_and_untouched_weights_are_told(report: Report) -> None:
    update = Update("update.sbku", 128, 21_000, "0" * 64, 3, 0, 0)
    looks = tuple(dataclasses.replace(look, histogram=None) for look in report.looks)
    weights = (dataclasses.replace(report.weights[0], density=1.0), *report.weights[1:])
    text = part(dataclasses.replace(report, update=update, looks=looks, weights=weights))
    assert "as an update from the base 128 B" in text
    assert "Taken over from the base" in text
    assert "not pruned: every value stays" in text
    assert "100.0% of the values are left" not in text


def test_the_largest_weights_storage_is_shown(report: Report) -> None:
    row, look = report.weights[0], report.looks[0]
    names = [f"w{at}" for at in range(30)]
    large = dataclasses.replace(
        report,
        weights=tuple(
            dataclasses.replace(row, name=name, bytes_after=at) for at, name in enumerate(names)
        ),
        looks=tuple(dataclasses.replace(look, name=name) for name in names),
    )
    shown = str(part(large)).split('class="split11"')[1].split("</table>")[0]
    assert re.findall(r'class="name">(w\d+)<', shown) == names[:9:-1]
