"""One job, from its folders to its result."""

from pathlib import Path

from sparsebook_training import constants, dataset, device, graph, noise, order, shift, work
from sparsebook_training.loop import Loop
from sparsebook_training.progress import Channel
from sparsebook_training.session import Session


def run(
    order_folder: Path, dataset_folder: Path, work_folder: Path, asked: str, channel: Channel
) -> None:
    """Carry an order out, from the last checkpoint in the work folder if there is one.

    Args:
        order_folder: order.json and model.onnx.
        dataset_folder: dataset.json and its shards.
        work_folder: made where it is missing; `result` is in it afterwards.
        asked: one of `device.DEVICES`.
        channel: is told the progress.

    Raises:
        Failed: the order or the dataset is not as specified, or the graph cannot be trained.
        OSError: a file cannot be read or written.
    """
    with work.locked(work_folder):
        wanted = order.read(order_folder)
        model = graph.load(order_folder, wanted)
        inputs = graph.inputs(model)
        fixed = constants.read(order_folder, wanted.constants, inputs)
        fed = {name: spec for name, spec in inputs.items() if name not in fixed}
        noise.check(wanted.noise, fed)
        data = dataset.read(dataset_folder, fed, wanted.feed)
        shift.check(wanted.shift, fed, data.ranks())
        files = [order_folder / file for file in wanted.constants.values()]
        room = work.Work(work_folder, work.fingerprint(order_folder, dataset_folder, files))
        if room.result.exists():
            room.clear()
            return
        latest = room.latest()
        with room.graph() as folder:
            artifacts = graph.build(model, wanted, folder)
            del model  # its weights are in the artifacts from here on
            checkpoint, training = latest or (artifacts.checkpoint, None)
            session = Session(artifacts, checkpoint, wanted.parameters, device.choose(asked), fixed)
            Loop(wanted, data, session, room, channel, training).run()
