"""`python -P -m sparsebook_training ORDER DATASET WORK`: carry an order out (docs/training.md)."""

import argparse
import sys
import traceback
from pathlib import Path

from sparsebook_training import dataset, device, graph, order, progress, work
from sparsebook_training.errors import Failed, is_full
from sparsebook_training.loop import Loop
from sparsebook_training.progress import Channel
from sparsebook_training.session import Session


def main() -> int:
    """The program; its exit status."""
    parser = argparse.ArgumentParser(prog="sparsebook_training", description=main.__doc__)
    parser.add_argument("order", type=Path, help="the folder with order.json and model.onnx")
    parser.add_argument("dataset", type=Path, help="the folder with dataset.json and its shards")
    parser.add_argument("work", type=Path, help="the folder for checkpoints and the result")
    parser.add_argument("--device", choices=device.DEVICES, default="auto")
    arguments = parser.parse_args()
    channel = Channel()
    progress.end_with_parent()
    try:
        _run(arguments.order, arguments.dataset, arguments.work, arguments.device, channel)
    except Failed as failure:
        traceback.print_exc()
        channel.failed(failure.problem, failure.detail)
    except OSError as error:
        traceback.print_exc()
        if is_full(error):
            channel.failed("storage-full", f"there is no room left in {arguments.work}: {error}")
        else:
            channel.failed("internal", f"{type(error).__name__}: {error}")
    except Exception as error:  # the last resort: whoever waits is told, the trace is on stderr
        traceback.print_exc()
        channel.failed("internal", f"{type(error).__name__}: {error}")
    else:
        channel.done()
        return 0
    return 1


def _run(
    order_folder: Path, dataset_folder: Path, work_folder: Path, asked: str, channel: Channel
) -> None:
    with work.locked(work_folder):
        wanted = order.read(order_folder)
        model = graph.load(order_folder, wanted)
        data = dataset.read(dataset_folder, graph.inputs(model), wanted.feed)
        room = work.Work(work_folder, work.fingerprint(order_folder, dataset_folder))
        if room.result.exists():
            room.clear()
            return
        latest = room.latest()
        with room.graph() as folder:
            artifacts = graph.build(model, wanted, folder)
            del model  # its weights are in the session from here on
            checkpoint, training = latest or (artifacts.checkpoint, None)
            session = Session(artifacts, checkpoint, wanted.parameters, device.choose(asked))
            Loop(wanted, data, session, room, channel, training).run()


if __name__ == "__main__":
    sys.exit(main())
