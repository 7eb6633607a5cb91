"""Notes on fine-tuning: what went wrong is said plainly, with the stage, from what, to what, and what to try."""

from dataclasses import replace
from typing import Any

import pytest

from sparsebook_compressor.protocol import EpochRow, Phase, Protocol, StageMetric
from sparsebook_compressor.remarks import remarks_on, remarks_on_tuning

GOOD = (EpochRow(0, None, 1.0, 0.80), EpochRow(1, 0.9, 0.5, 0.95))
PHASE = Phase("retrain", 1, 0.1, 10.0, 0, GOOD, 1, "finished", 1.0, 100.0, "cpu")
NAMES = ("original", "pruned", "retrained", "shared", "tuned", "artifact")


def account(*metrics: float | None, phase: Phase = PHASE, **settings: Any) -> Protocol:
    stages = tuple(
        StageMetric.after(name, metric, metrics[0])
        for name, metric in zip(NAMES, metrics, strict=True)
    )
    return Protocol(
        "loss",
        "accuracy",
        {},
        settings,
        stages,
        (phase,),
        (),
        (),
        (),
        {},
        original=EpochRow(0, None, 0.1, 0.98),
    )


def notes(protocol: Protocol) -> str:
    return "\n".join(remarks_on(protocol))


def test_a_course_that_went_well_needs_no_remark() -> None:
    assert notes(account(0.98, 0.50, 0.97, 0.96, 0.97, 0.97)) == ""


@pytest.mark.parametrize(
    ("metrics", "said"),
    [
        (
            (0.98, 0.80, 0.30, 0.30, 0.30, 0.30),
            ("retrained:", "from 0.8000 (pruned) to 0.3000", "train.learning_rate"),
        ),
        (
            (0.98, 0.80, 0.97, 0.60, 0.96, 0.96),
            ("shared:", "from 0.9700 (retrained) to 0.6000", "more bits"),
        ),
        (
            (0.98, 0.80, 0.97, 0.95, 0.70, 0.70),
            ("tuned:", "from 0.9500 (shared) to 0.7000", "train.learning_rate"),
        ),
        ((0.98, 0.10, 0.20, 0.20, 0.20, 0.20), ("0.9800 of the original and 0.2000 of the",)),
        ((0.98, 0.10, 0.97, None, 0.97, 0.97), ("shared:", "no finite number", "the worst")),
        ((-300.0, -900.0, -310.0, -380.0, -310.0, -310.0), ("shared:", "from -310.0000")),
    ],
)
def test_a_stage_that_ends_far_below_the_one_before_is_named(
    metrics: tuple[float | None, ...], said: tuple[str, ...]
) -> None:
    found = notes(account(*metrics))
    for part in said:
        assert part in found


def test_a_training_that_is_good_for_the_loss_and_bad_for_the_metric_is_named() -> None:
    epochs = (EpochRow(0, None, 1.0, 0.80), EpochRow(1, 0.9, 0.5, 0.31))
    went_well = (0.98, 0.80, 0.97, 0.97, 0.97, 0.97)
    found = notes(account(*went_well, phase=replace(PHASE, epochs=epochs)))
    for part in ("retrain 1:", "from 1 to 0.5", "from 0.8000 to 0.3100", "train.learning_rate"):
        assert part in found
    # An epoch that was not kept ruins nothing.
    assert "fell" not in notes(
        account(
            *went_well,
            phase=replace(PHASE, epochs=(*GOOD, EpochRow(2, 0.9, 0.6, 0.2))),
        )
    )
    epochs = (EpochRow(0, None, 1.0, 0.80), EpochRow(1, 0.9, 0.5, None))
    found = notes(account(*went_well, phase=replace(PHASE, epochs=epochs)))
    assert "retrain 1: the metric on the eval part, 0.8000 before, is no finite number" in found


def test_a_budget_is_what_a_drop_is_compared_with() -> None:
    found = notes(account(0.98, 0.10, 0.90, 0.90, 0.90, 0.90, max_drop=0.1))
    assert found == ""
    found = notes(account(0.98, 0.10, 0.90, 0.90, 0.90, 0.90, max_drop=0.01))
    assert "more than the budget of 0.01" in found


def counted(after: float, samples: int, **settings: Any) -> Protocol:
    """0.98 of the original, and what it is of the artifact, as shares of so many samples."""
    splits = {part: {"samples": samples} for part in ("train", "eval", "test")}
    made = account(0.98, 0.50, after, after, after, after, metric_is_share=True, **settings)
    return replace(made, splits=splits)


@pytest.mark.parametrize(
    ("after", "samples", "said"),
    [
        # Two standard errors: 0.0187 at 0.955 of 500, 0.0042 of 10,000.
        (
            0.955,
            500,
            "0.9800 of the original and 0.9550 of the artifact (the standard error of its 500 samples is 0.0093)",
        ),
        (0.965, 500, None),
        (0.965, 10_000, "the standard error of its 10000 samples is 0.0018"),
        (0.9765, 10_000, "the standard error of its 10000 samples is 0.0015"),
        (0.978, 10_000, None),
        # As before: far is far, however few samples tell it.
        (0.90, 20, "the standard error of its 20 samples is 0.0671"),
    ],
)
def test_a_drop_is_compared_with_what_chance_does(
    after: float, samples: int, said: str | None
) -> None:
    found = notes(counted(after, samples))
    assert (said in found) if said else found == ""


def test_a_budget_that_chance_breaks_says_how_far_chance_goes() -> None:
    assert notes(counted(0.97, 500, max_drop=0.02)) == ""
    found = notes(counted(0.95, 500, max_drop=0.02))
    assert (
        "a larger eval part tells more (the standard error of its 500 samples is 0.0097)" in found
    )


def test_a_metric_that_is_no_share_of_hits_has_no_such_error() -> None:
    plain = counted(0.955, 10_000)
    assert notes(replace(plain, settings={})) == ""


def test_what_a_search_left_alone_is_named() -> None:
    found = notes(replace(account(0.98, 0.50, 0.97, 0.96, 0.97, 0.97), unfelt=("head",)))
    for part in ("weight 'head'", "however far it is pruned", "as planned", "under weights"):
        assert part in found


def test_of_a_tuning_what_made_it_worse_is_named_once() -> None:
    """There is no original to compare with, and nothing but the centroids could be changed."""
    bad = (EpochRow(0, None, 1.0, 0.95), EpochRow(1, 0.9, 0.5, 0.60))
    stages = tuple(StageMetric.after(*row, 0.95) for row in (("artifact", 0.95), ("tuned", 0.60)))
    tuned = replace(
        account(*[0.95] * 6, phase=replace(PHASE, stage="tune", epochs=bad)),
        stages=stages,
        frozen=(("table", "no gradient"),),
        original=None,
    )
    loss, stage = remarks_on_tuning(tuned)
    assert loss.startswith("tune 1: while the loss on the eval part went from 1 to 0.5, the metric")
    assert stage.startswith("tuned: the metric on the test part fell from 0.9500 (artifact) to 0.6")
    idle = replace(tuned, phases=(replace(PHASE, kept_epoch=0),), stages=stages[:1] * 2)
    assert list(remarks_on_tuning(idle)) == []
