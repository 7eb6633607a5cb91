"""How far a job is, with and without training; that it never goes back."""

from sparsebook_compressor.clock import Clock
from sparsebook_compressor.progress import Progress, TrainingProgress


def trained(fraction: float) -> TrainingProgress:
    return TrainingProgress(1, 4, fraction, 0.5, None, 100.0)


def run(clock: Clock, rounds: int) -> None:
    for number in range(rounds):
        with clock.one_of(number, rounds, "prune", "retrain"):
            for weight in range(2):
                with clock.weight(f"w{weight}", weight / 2, (weight + 1) / 2), clock.stage("prune"):
                    pass
            with clock.stage("retrain"):
                clock.training(trained(0.0))
                clock.training(trained(1.0))
    with clock.stage("share"):
        pass
    with clock.stage("tune"):
        clock.training(trained(0.5))


def test_a_job_that_trains_goes_on_while_it_trains() -> None:
    steps: list[Progress] = []
    clock = Clock(steps.append, training=True)
    run(clock, rounds=4)
    with clock.stage("verify"):
        pass
    fractions = [step.fraction for step in steps]
    assert fractions == sorted(fractions)
    ends = [step.fraction for step in steps if step.training == trained(1.0)]
    assert ends == sorted(set(ends))
    assert ends[-1] == next(step.fraction for step in steps if step.stage == "share")
    assert [step.stage for step in steps if step.training] == ["retrain"] * 8 + ["tune"]
    tuned = next(step for step in steps if step.training and step.stage == "tune")
    begun = next(step for step in steps if step.stage == "tune")
    assert begun.fraction < tuned.fraction < steps[-1].fraction < 1


def test_passes_nest() -> None:
    steps: list[Progress] = []
    clock = Clock(steps.append, training=True)
    for point in range(2):
        with clock.one_of(point, 2, "prune", "tune"):
            run(clock, rounds=2)
    ends = [step.fraction for step in steps if step.training == trained(1.0)]
    assert ends == sorted(set(ends))
    assert len(ends) == 4


def test_costs_are_added_up() -> None:
    clock = Clock(None)
    run(clock, rounds=3)
    assert [cost.stage for cost in clock.costs()] == ["prune", "retrain", "share", "tune"]
