"""The plan: presets and overrides decide for every weight before anything runs, as data."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto

from sparsebook_compressor import admit
from sparsebook_compressor.config import Config
from sparsebook_compressor.errors import BadValue, NotFinite, NothingToCompress
from sparsebook_compressor.graph.view import GraphView, survey
from sparsebook_compressor.plan import Plan, PlanRow, make_plan, require_work
from tests.unit.compressor.models import K, N, free, graph_of, model_of, node, value, values

CONSTANTS = {
    "conv.kernel": values(16, 3, 3, 3),
    "conv.bias": values(16),
    "fc1": values(K, N),
    "fc2": values(N, K),
    "fc[3]": values(K, K),
}


def view_of(folder: Path, **changed: np.ndarray) -> GraphView:
    nodes = [
        node("Conv", ["image", "conv.kernel", "conv.bias"], ["c"]),
        node("MatMul", ["x", "fc1"], ["h"]),
        node("MatMul", ["h", "fc2"], ["i"]),
        node("Gemm", ["i", "fc[3]"], ["y"]),
    ]
    inputs = [value("image", ["n", 3, 8, 8]), value("x", ["n", K])]
    graph = graph_of(nodes, inputs, [free("c", 4), free("y", 2)], CONSTANTS | changed)
    path = folder / "model.onnx"
    path.write_bytes(model_of(graph).SerializeToString())
    return survey(admit.load(path), path)


@pytest.fixture
def view(tmp_path: Path) -> GraphView:
    return view_of(tmp_path)


def plan_of(view: GraphView, **raw: Any) -> Plan:
    return make_plan(view, Config.parse(raw))


def rows(plan: Plan) -> dict[str, PlanRow]:
    return {row.name: row for row in plan.rows}


def test_paper_takes_the_papers_densities_and_bits_by_role(view: GraphView) -> None:
    found = rows(plan_of(view, preset="paper"))
    assert {name: (row.density, row.bits) for name, row in found.items()} == {
        "conv.kernel": (0.35, 8),
        "fc1": (0.09, 5),
        "fc2": (0.09, 5),
        "fc[3]": (0.09, 5),
    }
    for row in found.values():
        assert (row.init, row.iterations, row.threshold) == ("linear", None, None)
        assert row.centroids == 2**row.bits - 1
        assert row.why == f"paper, {row.role}"
        assert row.elements == int(np.prod(row.shape))


def test_paper_takes_the_configs_k_means(view: GraphView) -> None:
    share = {"init": "density", "iterations": 9}
    for row in plan_of(view, preset="paper", share=share).rows:
        assert (row.init, row.iterations) == ("density", 9)


def test_safe_says_the_error_that_it_allows(view: GraphView) -> None:
    plan = plan_of(view)
    assert {row.name for row in plan.rows} | {kept.name for kept in plan.kept} == set(CONSTANTS)
    for row in plan.rows:
        assert row.why.startswith("safe, error ")
        assert 0 < row.density <= 1
        assert 1 <= row.bits <= 8


def test_what_the_view_left_alone_is_in_the_plan_with_its_reason(view: GraphView) -> None:
    (kept,) = plan_of(view, preset="paper").kept
    assert (kept.name, kept.shape, kept.bytes) == ("conv.bias", (16,), 64)
    assert "Conv" in kept.reason


def test_an_override_changes_what_it_names_and_nothing_else(view: GraphView) -> None:
    plain = rows(plan_of(view, preset="paper"))
    found = rows(plan_of(view, preset="paper", weights={"fc1": {"density": 0.5, "bits": 3}}))
    assert (found["fc1"].density, found["fc1"].bits, found["fc1"].why) == (0.5, 3, "overridden")
    for name in set(plain) - {"fc1"}:
        assert found[name] == plain[name]


@pytest.mark.parametrize("override", [{"density": 0.0}, {"bits": 1}, {"threshold": 0.0}])
def test_every_way_to_size_a_weight_is_taken(view: GraphView, override: dict[str, Any]) -> None:
    row = rows(plan_of(view, preset="paper", weights={"fc1": override}))["fc1"]
    assert row.density == (None if "threshold" in override else override.get("density", 0.09))
    assert row.threshold == override.get("threshold")
    assert row.bits == override.get("bits", 5)
    assert row.why == "overridden"


def test_bits_are_those_of_huffman_where_sharing_is_for_bits(view: GraphView) -> None:
    raw = {"share": {"objective": "bits"}, "weights": {"fc1": {"bits": 3.7}}}
    found = rows(plan_of(view, preset="paper", **raw))
    assert {name: (row.rate, row.centroids) for name, row in found.items()} == {
        "conv.kernel": (8.0, 255),
        "fc1": (3.7, 255),
        "fc2": (5.0, 255),
        "fc[3]": (5.0, 255),
    }
    assert "3.7 of Huffman" in plan_of(view, preset="paper", **raw).table()
    # `safe` allows an error, whatever it costs; what the config sizes is for bits all the same.
    careful, plain = rows(plan_of(view, **raw)), rows(plan_of(view))
    assert careful["fc1"].rate == 3.7
    assert {name: row for name, row in careful.items() if name != "fc1"} == {
        name: row for name, row in plain.items() if name != "fc1"
    }
    plan = plan_of(view, preset="paper", **raw)
    assert Plan.from_json(plan.to_json()) == plan


def test_an_override_that_sets_nothing_changes_nothing(view: GraphView) -> None:
    for preset in ("safe", "paper"):
        plain = plan_of(view, preset=preset)
        for nothing in ({}, {"skip": False}, {"density": None, "bits": None}):
            assert plan_of(view, preset=preset, weights={"*": nothing}) == plain


def test_later_globs_are_laid_over_earlier_ones(view: GraphView) -> None:
    weights = {
        "*": {"density": 0.4, "bits": 6, "init": "random"},
        "fc*": {"bits": 4},
        "fc2": {"threshold": 0.1},
    }
    found = rows(plan_of(view, preset="paper", weights=weights))
    assert (found["conv.kernel"].density, found["conv.kernel"].bits) == (0.4, 6)
    assert (found["fc1"].density, found["fc1"].bits) == (0.4, 4)
    assert (found["fc2"].density, found["fc2"].threshold, found["fc2"].bits) == (None, 0.1, 4)
    assert {row.init for row in found.values()} == {"random"}
    turned = dict(reversed(weights.items()))
    found = rows(plan_of(view, preset="paper", weights=turned))
    assert (found["fc2"].density, found["fc2"].threshold, found["fc2"].bits) == (0.4, None, 6)


def test_a_later_glob_can_take_back_a_skip(view: GraphView) -> None:
    weights = {"*": {"skip": True}, "fc1": {"skip": False}}
    plan = plan_of(view, preset="paper", weights=weights)
    assert [row.name for row in plan.rows] == ["fc1"]
    reasons = {kept.name: kept.reason for kept in plan.kept}
    assert reasons["fc2"] == "the config skips it"
    assert reasons["conv.bias"] != "the config skips it"


def test_a_name_with_brackets_matches_itself(view: GraphView) -> None:
    found = rows(plan_of(view, preset="paper", weights={"fc[3]": {"bits": 2}}))
    assert found["fc[3]"].bits == 2
    found = rows(plan_of(view, preset="paper", weights={"fc[12]": {"bits": 2}}))
    assert [found[name].bits for name in ("fc1", "fc2", "fc[3]")] == [2, 2, 5]


def test_globs_tell_capitals_apart(view: GraphView) -> None:
    with pytest.raises(BadValue, match="FC1"):
        plan_of(view, preset="paper", weights={"FC1": {"bits": 2}})


@pytest.mark.parametrize("scope", ["weight", "global"])
def test_a_plan_survives_json(view: GraphView, scope: str) -> None:
    weights = {"fc1": {"threshold": 0.125}, "fc2": {"skip": True}}
    plan = plan_of(view, weights=weights, prune={"scope": scope}, seed=11)
    text = plan.to_json()
    again = Plan.from_json(text)
    assert again == plan
    assert again.to_json() == text
    assert (again.scope, again.seed) == (scope, 11)


def test_a_plan_of_another_format_is_refused(view: GraphView) -> None:
    text = plan_of(view, preset="paper").to_json()
    with pytest.raises(ValueError, match="plan format 2; this version reads 1"):
        Plan.from_json(text.replace('"format": 1', '"format": 2'))


def test_the_same_input_gives_the_same_plan(view: GraphView) -> None:
    assert plan_of(view).to_json() == plan_of(view).to_json()


def test_the_table_has_a_line_a_weight(view: GraphView) -> None:
    plan = plan_of(view, preset="paper", weights={"fc2": {"threshold": 0.125}})
    head, *lines = plan.table().splitlines()
    assert head.split()[:3] == ["weight", "role", "shape"]
    assert len(lines) == 4
    assert lines[0].split() == ["conv.kernel", "conv", "16x3x3x3", "35.0%", "8", "paper,", "conv"]
    assert lines[2].split() == ["fc2", "matmul", "32x24", "|w|", ">", "0.125", "5", "overridden"]
    assert all(line == line.rstrip() for line in lines)


def test_a_plan_without_weights_is_refused_with_the_reasons(view: GraphView) -> None:
    plan = plan_of(view, weights={"*": {"skip": True}})
    with pytest.raises(NothingToCompress) as caught:
        require_work(plan, "lenet.onnx", ModelProto())
    assert "lenet.onnx" in str(caught.value)
    assert "the config skips it" in str(caught.value)
    require_work(plan_of(view, preset="paper"), "lenet.onnx", ModelProto())


def test_a_weight_that_holds_nan_is_refused_unless_it_is_skipped(tmp_path: Path) -> None:
    bad = values(K, N)
    bad[0, 0], bad[1, 2] = -np.inf, np.nan
    view = view_of(tmp_path, fc1=bad)
    for settings in ({}, {"preset": "paper"}, {"weights": {"fc1": {"density": 0.5, "bits": 4}}}):
        with pytest.raises(NotFinite, match="'fc1'"):
            plan_of(view, **settings)
    assert "fc1" not in rows(plan_of(view, weights={"fc1": {"skip": True}}))


@pytest.mark.parametrize("preset", ["safe", "paper", "small"])
def test_a_weight_that_holds_infinity_stays_as_it_is(preset: str, tmp_path: Path) -> None:
    """A mask of attention that rows are gathered of."""
    mask = np.triu(np.full((K, K), -np.inf, np.float32), 1)
    view = view_of(tmp_path, fc1=mask)
    for weights in ({}, {"fc1": {"density": 0.5, "bits": 4}}):
        plan = plan_of(view, preset=preset, weights=weights)
        assert "fc1" not in rows(plan)
        (reason,) = (kept.reason for kept in plan.kept if kept.name == "fc1")
        assert reason.startswith("holds infinity")
        assert "element 1 is -inf" in reason


def test_an_all_zero_weight_is_planned_as_such(tmp_path: Path) -> None:
    view = view_of(tmp_path, fc1=np.zeros((K, N), np.float32))
    row = rows(plan_of(view))["fc1"]
    assert row.why == "safe, all zero"
    assert row.density == 0


def test_a_weight_beyond_safes_means_is_left_alone_until_it_is_asked_for(tmp_path: Path) -> None:
    """Columns of one magnitude each, 2^-9 to 1: levels at equal distances lose the small ones."""
    rng = np.random.default_rng(0)
    wild = np.exp2(np.linspace(-9, 0, N)) * rng.standard_normal((K, N))
    view = view_of(tmp_path, fc1=wild.astype(np.float32))
    share = {"init": "linear", "iterations": 0}
    reasons = {kept.name: kept.reason for kept in plan_of(view, share=share).kept}
    assert reasons["fc1"].startswith("no codebook of 8 bits keeps its error within ")
    asked = rows(plan_of(view, share=share, weights={"fc1": {"bits": 8}}))
    assert (asked["fc1"].bits, asked["fc1"].density) == (8, 1.0)
    assert "fc1" in rows(plan_of(view))
