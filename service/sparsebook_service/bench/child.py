"""The measuring process: `python -P -m sparsebook_service.bench.child`, an order on standard input, an answer on standard output.

It imports ONNX Runtime and hardly anything else, so that its resident memory is the model's.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

import sparsebook_runtime
from sparsebook_service.bench.energy import Meter
from sparsebook_service.bench.protocol import Alone, Answer, Order, Running, Turn

WARM_UP, LEAST, MOST = 2, 5, 1000
# The threads of a pool go on spinning for a while after a run; the other model is not to pay for that.
SETTLE_SECONDS = 0.01

Feed = dict[str, Any]


def main() -> None:
    """Carry out the order."""
    order: Order = json.load(sys.stdin)
    try:
        answer = carry_out(order)
    except Exception as error:  # whatever ONNX Runtime throws is the answer
        answer = Answer(error=str(error))
    json.dump(answer, sys.stdout)


def carry_out(order: Order) -> Answer:
    """Measure what is asked for.

    Raises:
        Exception: what ONNX Runtime raises for a model that it does not load or run.
    """
    if order["kind"] == "nothing":
        return Answer(resident=resident())
    if order["kind"] == "alone":
        return Answer(alone=alone(order["models"][0], order["threads"], order["feeds"][0]))
    sessions = [session(model, order["threads"]) for model in order["models"]]
    feeds = [read(path) for path in order["feeds"]]
    return Answer(turns=[turns(sessions, feed, order) for feed in feeds])


def alone(model: Running, threads: int, feed_path: str) -> Alone:
    """Load a model and run it once."""
    feed = read(feed_path)
    began = time.perf_counter()
    running = session(model, threads)
    loaded = time.perf_counter()
    running.run(None, feed)
    first = time.perf_counter()
    live = None if model["door"] == "none" else sparsebook_runtime.live_weights()
    return Alone(load=loaded - began, first=first - loaded, resident=resident(), live=live)


def turns(sessions: list[ort.InferenceSession], feed: Feed, order: Order) -> Turn:
    """Run all models on a feed, one after the other, again and again."""
    pause = SETTLE_SECONDS if order["threads"] > 1 else 0.0
    taken: list[list[float]] = [[] for _ in sessions]
    for running in sessions:
        for _ in range(WARM_UP):
            running.run(None, feed)
    end = time.monotonic() + order["seconds"]
    for turn in range(MOST):
        if turn >= LEAST and time.monotonic() > end:
            break
        for running, seconds in zip(sessions, taken, strict=True):
            time.sleep(pause)
            began = time.perf_counter()
            running.run(None, feed)
            seconds.append(time.perf_counter() - began)
    meter = Meter.find()
    joules = None if meter is None else [_joules(meter, s, feed, order) for s in sessions]
    return Turn(seconds=taken, joules=joules)


def _joules(meter: Meter, running: ort.InferenceSession, feed: Feed, order: Order) -> float:
    run: Callable[[], object] = lambda: running.run(None, feed)  # noqa: E731 - a name for what is called
    return meter.per_call(run, order["seconds"] / 2)


def session(model: Running, threads: int) -> ort.InferenceSession:
    """A CPU session on so many threads, with the operators by the door that the order names."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    if model["door"] == "provider":
        devices = sparsebook_runtime.register_execution_provider()
        options.add_provider_for_devices(devices, {})
        return ort.InferenceSession(model["path"], options)
    if model["door"] == "operators":
        sparsebook_runtime.register(options)
    return ort.InferenceSession(model["path"], options, providers=["CPUExecutionProvider"])


def read(path: str) -> Feed:
    """A feed that the parent has written."""
    with np.load(path, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def resident(statm: Path = Path("/proc/self/statm")) -> int | None:
    """Bytes of this process that are in memory; None on a system without /proc."""
    if not statm.exists():
        return None
    return int(statm.read_text().split()[1]) * _page_bytes()


def _page_bytes() -> int:
    import resource  # noqa: PLC0415 - not on Windows, which has no /proc either

    return resource.getpagesize()


if __name__ == "__main__":
    main()
