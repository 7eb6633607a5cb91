"""The config: every key, and every way to get one wrong."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsebook_compressor.config import Config
from sparsebook_compressor.errors import BadValue, InputError, UnknownOption

EVERYTHING = {
    "preset": "paper",
    "output": "portable",
    "seed": 7,
    "weights": {
        "conv*": {"density": 0.25, "bits": 3, "init": "density", "codec": "huffman"},
        "fc?": {"threshold": 0.01},
        "head": {"skip": True},
    },
    "prune": {"method": "magnitude", "scope": "global"},
    "share": {"init": "random", "iterations": 30},
}


def test_the_defaults_are_those_of_safe() -> None:
    config = Config.parse({})
    assert config == Config()
    assert (config.preset, config.output, config.seed) == ("safe", "operator", 0)
    assert config.weights == {}
    assert (config.prune.method, config.prune.scope) == ("magnitude", "weight")
    assert (config.share.init, config.share.iterations) == ("linear", None)


def test_every_key_is_read() -> None:
    config = Config.parse(EVERYTHING)
    assert config.model_dump(exclude_unset=True) == EVERYTHING
    assert list(config.weights) == ["conv*", "fc?", "head"]
    assert config.weights["fc?"].threshold == 0.01
    assert config.weights["fc?"].density is None
    assert Config.parse_json(json.dumps(EVERYTHING)) == config


@pytest.mark.parametrize(
    "raw",
    [
        {"weights": {"a": {"density": 0}}},
        {"weights": {"a": {"density": 1}}},
        {"weights": {"a": {"density": None, "threshold": 0}}},
        {"weights": {"a": {"bits": 1}, "b": {"bits": 8}}},
        {"seed": 2**63 - 1},
        {"share": {"objective": "bits", "retrain": True}, "weights": {"a": {"bits": 3.7}}},
        {"share": {"iterations": 0}},
        {"share": {"iterations": None}},
        {"share": {"iterations": 100_000}},
        {"prune": {}, "share": {}, "weights": {}},
    ],
    ids=json.dumps,
)
def test_values_at_their_ends_are_allowed(raw: dict[str, Any]) -> None:
    assert Config.parse(raw).model_dump(exclude_unset=True) == raw


@pytest.mark.parametrize(
    ("raw", "where"),
    [
        ({"prest": "safe"}, "prest"),
        ({"weights": {"a": {"densty": 0.5}}}, "weights.a.densty"),
        ({"weights": {"a": {"iterations": 3}}}, "weights.a.iterations"),
        ({"prune": {"metod": "magnitude"}}, "prune.metod"),
        ({"share": {"bits": 3}}, "share.bits"),
        ({"Preset": "safe"}, "Preset"),
    ],
    ids=str,
)
def test_an_unknown_key_is_named_with_its_place(raw: dict[str, Any], where: str) -> None:
    with pytest.raises(UnknownOption) as caught:
        Config.parse(raw)
    assert f"config {where}: no such option" in str(caught.value)


@pytest.mark.parametrize(
    ("raw", "where"),
    [
        ({"prune": {"method": "obs"}}, "prune.method"),
        ({"prune": {"method": "obs"}, "nonsense": 1}, "prune.method"),
    ],
    ids=str,
)
def test_options_that_go_by_another_name_are_refused(raw: dict[str, Any], where: str) -> None:
    with pytest.raises(UnknownOption) as caught:
        Config.parse(raw)
    assert f"config {where}: " in str(caught.value)
    assert "use" in str(caught.value)


@pytest.mark.parametrize(
    ("raw", "where"),
    [
        ({"preset": "brave"}, "preset"),
        ({"preset": None}, "preset"),
        ({"preset": ["safe"]}, "preset"),
        ({"output": "onnx"}, "output"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**63}, "seed"),
        ({"seed": 10**400}, "seed"),
        ({"seed": 1.5}, "seed"),
        ({"seed": 1.0}, "seed"),
        ({"seed": "1"}, "seed"),
        ({"seed": True}, "seed"),
        ({"weights": []}, "weights"),
        ({"weights": {"a": None}}, "weights.a"),
        ({"weights": {"a": 0.5}}, "weights.a"),
        *(
            ({"weights": {"a": {"density": density}}}, "weights.a.density")
            for density in (-0.1, 1.1, 10**400, math.nan, math.inf, "0.5", True, [0.5], {})
        ),
        *(
            ({"weights": {"a": {"threshold": threshold}}}, "weights.a.threshold")
            for threshold in (-1e-9, math.nan, math.inf, "0.5", False)
        ),
        *(
            ({"weights": {"a": {"bits": bits}}}, "weights.a.bits")
            for bits in (0, 9, -1, 2.5, math.nan, "4", True)
        ),
        *(
            ({"share": {"objective": "bits"}, "weights": {"a": {"bits": bits}}}, "weights.a.bits")
            for bits in (0.5, 8.1, math.nan, "4", True)
        ),
        ({"share": {"objective": "bits"}, "budget": {"max_drop": 0.1}}, "share.objective"),
        ({"share": {"retrain": True}, "budget": {"max_drop": 0.1}}, "share.retrain"),
        ({"share": {"objective": "size"}}, "share.objective"),
        ({"share": {"retrain": 1}}, "share.retrain"),
        ({"weights": {"a": {"init": "kmeans"}}}, "weights.a.init"),
        ({"weights": {"a": {"codec": "zip"}}}, "weights.a.codec"),
        ({"weights": {"a": {"skip": 1}}}, "weights.a.skip"),
        ({"weights": {"a": {"skip": None}}}, "weights.a.skip"),
        ({"weights": {"a": {"density": 0.1, "threshold": 0.1}}}, "weights.a"),
        ({"prune": {"method": "random"}}, "prune.method"),
        ({"prune": {"scope": "layer"}}, "prune.scope"),
        ({"prune": "global"}, "prune"),
        ({"share": None}, "share"),
        ({"share": {"init": "sorted"}}, "share.init"),
        ({"share": {"init": "channel-uniform"}}, "share.init"),
        ({"share": {"iterations": -1}}, "share.iterations"),
        ({"share": {"iterations": 100_001}}, "share.iterations"),
        ({"share": {"iterations": 3.5}}, "share.iterations"),
    ],
    ids=str,
)
def test_a_bad_value_is_named_with_its_place(raw: dict[str, Any], where: str) -> None:
    with pytest.raises(BadValue) as caught:
        Config.parse(raw)
    assert f"config {where}: " in str(caught.value)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("raw", [None, [], "safe", 3, True, 1.5])
def test_a_config_that_is_no_object_is_refused(raw: Any) -> None:
    with pytest.raises(BadValue, match="expected a JSON object"):
        Config.parse(raw)


@pytest.mark.parametrize(
    "text", ["", "{", "{'preset': 'safe'}", b"\xff\xfe", "[" * 100_000, "safe", '{"a": 1} {}']
)
def test_text_that_is_not_json_is_refused(text: str | bytes) -> None:
    with pytest.raises(BadValue, match="not JSON"):
        Config.parse_json(text)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ('{"seed": 1, "seed": 1}', "seed"),
        ('{"weights": {"*": {"bits": 4, "bits": 5}}}', "bits"),
        ('{"weights": {"w": {"bits": 4}, "\\u0077": {"bits": 5}}}', "w"),
    ],
)
def test_a_key_that_is_given_twice_is_refused(text: str, name: str) -> None:
    with pytest.raises(BadValue, match=f"the key '{name}' is given twice"):
        Config.parse_json(text)


@pytest.mark.parametrize("text", ["null", "[]", "3"])
def test_json_that_is_no_object_is_refused(text: str) -> None:
    with pytest.raises(BadValue, match="expected a JSON object"):
        Config.parse_json(text)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e400"])
def test_json_numbers_that_are_none_are_refused(number: str) -> None:
    with pytest.raises(BadValue):
        Config.parse_json(f'{{"weights": {{"a": {{"density": {number}}}}}}}')
    with pytest.raises(BadValue):
        Config.parse_json(f'{{"seed": {number}}}')


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
keys = st.sampled_from(["preset", "output", "seed", "weights", "prune", "share", "train", "x"])


@given(st.dictionaries(keys, json_values))
def test_no_object_does_worse_than_an_input_error(raw: dict[str, Any]) -> None:
    try:
        config = Config.parse(raw)
    except InputError:
        return
    assert Config.parse(config.model_dump(exclude_unset=True)) == config


def test_a_config_cannot_be_changed() -> None:
    config = Config()
    with pytest.raises(ValueError, match="frozen"):
        config.seed = 3


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (
            {"preste": "safe"},
            "config preste: no such option; see docs/configuration.md. Did you mean 'preset'?",
        ),
        ({"train": {"epoch": 3}}, "Did you mean 'train.epochs'?"),
        ({"weights": {"*.w": {"bit": 3}}}, "Did you mean 'weights.*.w.bits'?"),
        ({"max_drop": 0.01}, "Did you mean 'budget.max_drop'?"),
        ({"density": 0.1}, "Did you mean 'weights.GLOB.density'?"),
        ({"zzz": 1}, "docs/configuration.md."),
    ],
)
def test_a_mistyped_key_meets_the_one_that_was_meant(raw: dict[str, Any], said: str) -> None:
    with pytest.raises(UnknownOption) as caught:
        Config.parse(raw)
    assert str(caught.value).endswith(said)


def test_a_percentage_is_told_that_it_is_a_fraction() -> None:
    with pytest.raises(BadValue, match=r"found 2; it is a fraction of the metric: 0\.005 is half"):
        Config.parse({"budget": {"max_drop": 2}})
    with pytest.raises(BadValue, match=r"found 10; it is the share of a weight's elements"):
        Config.parse({"weights": {"*": {"density": 10}}})
