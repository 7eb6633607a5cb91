"""Engines that have formats or quantisers of their own, in their own environments: `python -m benchmarks.peer_engine_child ORDER ANSWER`.

The order is JSON: `engine`, the `model`, files of floats to run (`plain`), an `artifact` of ours with the operator `library`, `calibration` and
`held` (.npz files whose arrays are `SAMPLE/INPUT`), a `folder` and `seconds`. The answer has one entry for each way: `setting`, `bytes`,
`outputs` (an .npz, `SAMPLE/OUTPUT`) and `seconds` to make it, or `failure`; and `taken`, seconds of every call by setting, with
`onnxruntime` and `sparsebook` beside them. Clocks are of the whole process: an engine has threads of its own.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from benchmarks.contest import Entry, contest
from benchmarks.peer_samples import samples

Feed = dict[str, Any]
Run = Callable[[Feed], list[Any]]
Way = tuple[str, Callable[[], tuple[int, Run]]]


def main() -> None:
    """Carry out the order."""
    order: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text())
    held = samples(order["held"])
    version, ways = ENGINES[order["engine"]](order)
    entries: dict[str, Entry] = {}
    for name, file in (("onnxruntime", order["model"]), ("sparsebook", order["artifact"])):
        run = _onnxruntime(file, order["library"])
        entries[name] = Entry(lambda run=run: run(held[0]))  # type: ignore[misc]
    rows = []
    for number, (setting, make) in enumerate(ways):
        row: dict[str, Any] = {"setting": setting}
        began = time.process_time()
        try:
            row["bytes"], run = make()
            row["seconds"] = time.process_time() - began
            outputs = [run(feed) for feed in held]
        except Exception as error:  # the reason belongs into the table
            lines = [line for line in str(error).strip().splitlines() if line.strip()]
            row["failure"] = (lines[-1] if lines else type(error).__name__)[:160]
        else:
            file = Path(order["folder"]) / f"{order['engine']}-{number}.npz"
            flat = {
                f"{i}/{j}": each for i, found in enumerate(outputs) for j, each in enumerate(found)
            }
            np.savez(file, **flat)
            row["outputs"] = str(file)
            entries[setting] = Entry(lambda run=run: run(held[0]))  # type: ignore[misc]
        rows.append(row)
    taken = contest(entries, order["seconds"], clock=time.process_time)
    answer = {"version": version, "rows": rows, "taken": taken}
    Path(sys.argv[2]).write_text(json.dumps(answer))


def _onnxruntime(file: str, library: str) -> Run:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.register_custom_ops_library(library)
    session = ort.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    return lambda feed: session.run(None, feed)


def _nncf(order: dict[str, Any]) -> tuple[str, Iterator[Way]]:
    import nncf  # type: ignore[import-not-found, unused-ignore]  # noqa: PLC0415 - one peer an environment
    import openvino  # type: ignore[import-not-found, unused-ignore]  # noqa: PLC0415

    feeds = samples(order["calibration"])
    core = openvino.Core()
    # As in peer_child.py.
    settings = {
        "INFERENCE_NUM_THREADS": 1,
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
    }

    def made(name: str, change: Callable[[Any], Any]) -> tuple[int, Run]:
        # Files are written and read again: what is measured is what is shipped.
        model = change(openvino.convert_model(order["model"]))
        file = Path(order["folder"]) / f"{name.replace(' ', '-')}.xml"
        openvino.save_model(model, file, compress_to_fp16=False)
        request = core.compile_model(file, "CPU", settings).create_infer_request()

        def run(feed: Feed) -> list[Any]:
            found = request.infer(feed)
            return [np.array(found[index]) for index in range(len(found))]

        return sum(each.stat().st_size for each in (file, file.with_suffix(".bin"))), run

    modes = nncf.CompressWeightsMode

    def quantised(model: Any) -> Any:
        return nncf.quantize(model, nncf.Dataset(feeds), subset_size=len(feeds))

    def weights(mode: Any, **options: Any) -> Callable[[Any], Any]:
        return lambda model: nncf.compress_weights(model, mode=mode, **options)

    # A group of 32 does not fit every weight; without this one that it does not fit fails the whole model.
    fitting = nncf.AdvancedCompressionParameters(
        group_size_fallback_mode=nncf.GroupSizeFallbackMode.ADJUST
    )
    narrow = {"ratio": 1.0, "group_size": 32, "all_layers": True, "advanced_parameters": fitting}

    def looked(mode: Any) -> Callable[[Any], Any]:
        return weights(mode, **narrow, dataset=nncf.Dataset(feeds), scale_estimation=True)

    changes = {
        "int8, static": quantised,
        "int8, weights": weights(modes.INT8_ASYM),
        "int4, weights": weights(modes.INT4_SYM, **narrow),
        "int4, weights, calibrated": looked(modes.INT4_SYM),
        "codebook, weights": weights(modes.CB4, **narrow),
        "adaptive codebook, weights, calibrated": looked(modes.ADAPTIVE_CODEBOOK),
    }
    ways = ((name, lambda n=name, c=change: made(n, c)) for name, change in changes.items())
    return f"nncf {nncf.__version__}, openvino {openvino.__version__}", ways


def _deepsparse(order: dict[str, Any]) -> tuple[str, Iterator[Way]]:
    import deepsparse  # type: ignore[import-not-found, unused-ignore]  # noqa: PLC0415

    def made(file: str) -> tuple[int, Run]:
        engine = deepsparse.Engine(model=file, batch_size=1, num_cores=1)
        names = list(engine.input_names)

        def run(feed: Feed) -> list[Any]:
            found: list[Any] = engine.run([feed[name] for name in names], val_inp=False)
            return [np.array(each) for each in found]

        return Path(file).stat().st_size, run

    ways = ((name, lambda f=file: made(f)) for name, file in order["plain"].items())
    return deepsparse.__version__, ways


ENGINES: dict[str, Callable[[dict[str, Any]], tuple[str, Iterator[Way]]]] = {
    "nncf": _nncf,
    "deepsparse": _deepsparse,
}

if __name__ == "__main__":
    main()
