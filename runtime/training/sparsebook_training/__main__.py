"""`python -P -m sparsebook_training ORDER DATASET WORK`: carry an order out (docs/training.md)."""

import argparse
import sys
import traceback
from pathlib import Path

from sparsebook_training import device, job, progress
from sparsebook_training.errors import Failed, is_full
from sparsebook_training.progress import Channel


def main() -> int:
    """The program; its exit status."""
    parser = argparse.ArgumentParser(
        prog="sparsebook_training",
        description="Train a prepared ONNX graph (docs/training.md). Ends when its standard input is closed.",
    )
    parser.add_argument("order", type=Path, help="the folder with order.json and model.onnx")
    parser.add_argument("dataset", type=Path, help="the folder with dataset.json and its shards")
    parser.add_argument("work", type=Path, help="the folder for checkpoints and the result")
    parser.add_argument("--device", choices=device.DEVICES, default="auto")
    arguments = parser.parse_args()
    channel = Channel()
    try:
        progress.end_with_parent()
        job.run(arguments.order, arguments.dataset, arguments.work, arguments.device, channel)
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


if __name__ == "__main__":
    sys.exit(main())
