"""The account of fine-tuning as plain data, there and back."""

import dataclasses
import json

from hypothesis import given, settings
from hypothesis import strategies as st

from sparsebook_compressor.protocol import (
    Attempt,
    CutRow,
    EpochRow,
    Phase,
    Point,
    PointWeight,
    Protocol,
    Refusal,
    StageMetric,
)
from sparsebook_compressor.report import strict_json

NUMBERS = st.floats(-1e9, 1e9)
MAYBE = st.one_of(st.none(), NUMBERS)
COUNTS = st.integers(0, 10**6)
TEXTS = st.text(max_size=8)
EPOCHS = st.builds(EpochRow, epoch=COUNTS, loss=MAYBE, eval_loss=MAYBE, metric=MAYBE)
ATTEMPTS = st.builds(
    Attempt,
    learning_rate=NUMBERS,
    epochs=st.lists(EPOCHS, max_size=4).map(tuple),
    kept_epoch=COUNTS,
    ended=TEXTS,
)
PHASES = st.builds(
    Phase,
    stage=st.sampled_from(["retrain", "tune"]),
    number=COUNTS,
    density=NUMBERS,
    learning_rate=NUMBERS,
    retries=COUNTS,
    epochs=st.lists(EPOCHS, max_size=4).map(tuple),
    kept_epoch=COUNTS,
    ended=st.sampled_from(["finished", "patience", "diverged"]),
    seconds=NUMBERS,
    samples_per_second=MAYBE,
    device=TEXTS,
    retried=st.lists(ATTEMPTS, max_size=2).map(tuple),
)
POINTS = st.builds(
    Point,
    number=COUNTS,
    bytes=COUNTS,
    ratio=NUMBERS,
    density=NUMBERS,
    metric=MAYBE,
    drop=MAYBE,
    met=st.booleans(),
    chosen=st.booleans(),
    plan=st.lists(st.builds(PointWeight, name=TEXTS, density=NUMBERS, bits=COUNTS), max_size=3).map(
        tuple
    ),
)
STAGES = st.builds(StageMetric, stage=TEXTS, metric=MAYBE, drop=MAYBE)
PLAIN = st.dictionaries(
    TEXTS, st.one_of(st.none(), NUMBERS, TEXTS, st.lists(COUNTS, max_size=3)), max_size=3
)
PROTOCOLS = st.builds(
    Protocol,
    loss=TEXTS,
    metric=TEXTS,
    splits=st.dictionaries(TEXTS, PLAIN, max_size=3),
    settings=PLAIN,
    stages=st.lists(STAGES, min_size=1, max_size=6).map(tuple),
    phases=st.lists(PHASES, max_size=4).map(tuple),
    points=st.lists(POINTS, max_size=4).map(tuple),
    frozen=st.lists(st.tuples(TEXTS, TEXTS), max_size=3).map(tuple),
    rewritten=st.lists(TEXTS, max_size=3).map(tuple),
    versions=st.dictionaries(TEXTS, TEXTS, max_size=3),
    original=st.one_of(st.none(), EPOCHS),
    selection=TEXTS,
    cuts=st.lists(
        st.builds(CutRow, number=COUNTS, weight=TEXTS, threshold=MAYBE, survivors=COUNTS),
        max_size=3,
    ).map(tuple),
    refused=st.lists(
        st.builds(Refusal, stage=TEXTS, number=COUNTS, reason=TEXTS, problem=TEXTS), max_size=2
    ).map(tuple),
)


@settings(max_examples=50)
@given(PROTOCOLS)
def test_nothing_is_lost_on_the_way_through_json(protocol: Protocol) -> None:
    text = json.dumps(dataclasses.asdict(protocol))
    found = Protocol.from_plain(json.loads(text))
    assert found == protocol
    assert json.dumps(dataclasses.asdict(found)) == text


@given(PROTOCOLS)
def test_before_and_after_are_the_first_stage_and_the_last(protocol: Protocol) -> None:
    assert protocol.metric_before == protocol.stages[0].metric
    assert protocol.metric_after == protocol.stages[-1].metric


@given(PROTOCOLS)
def test_accounts_of_earlier_versions_can_be_read(protocol: Protocol) -> None:
    """Without what was added since."""
    raw = json.loads(json.dumps(dataclasses.asdict(protocol)))
    for key in ("original", "selection", "cuts", "refused"):
        del raw[key]
    for phase in raw["phases"]:
        del phase["retried"]
    for point in raw["points"]:
        del point["plan"]
    found = Protocol.from_plain(raw)
    assert (found.original, found.selection, found.cuts, found.refused) == (None, "", (), ())
    assert (found.stages, found.settings) == (protocol.stages, protocol.settings)


def test_a_report_is_strict_json_whatever_is_in_it() -> None:
    text = strict_json({"b": (float("nan"), [float("-inf"), 1.5]), "a": {"c": float("inf")}})
    assert json.loads(text) == {"a": {"c": None}, "b": [None, [None, 1.5]]}
