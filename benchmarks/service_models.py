"""What the service's benchmark sends: magika's model in any number of versions, models that keep a job busy, damaged files."""

import itertools
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, load_model_from_string, numpy_helper

MODELS = Path(".models")
MAGIKA = MODELS / "magika/models/standard_v3_3/model.onnx"
MOST_BYTES = 5 << 20


def magika(version: int) -> bytes:
    """The model with one weight a little other than in any other version: no two have the same answer."""
    model = load_model_from_string(MAGIKA.read_bytes())
    tensor = max(model.graph.initializer, key=lambda each: each.ByteSize())
    values = numpy_helper.to_array(tensor).copy()
    values.flat[version % values.size] *= np.float32(1.0 + 1e-3 * (1 + version // values.size))
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    return model.SerializeToString()


def layers(*sizes: int, seed: int) -> bytes:
    """Fully connected layers of these sizes."""
    generator = np.random.default_rng(seed)
    nodes, weights = [], []
    for number, (inputs, outputs) in enumerate(itertools.pairwise(sizes)):
        values = generator.standard_normal((inputs, outputs), np.float32) / inputs**0.5
        weights.append(numpy_helper.from_array(values.astype(np.float32), f"w{number}"))
        nodes.append(helper.make_node("MatMul", [f"x{number}", f"w{number}"], [f"x{number + 1}"]))
    last = len(sizes) - 1
    graph = helper.make_graph(
        nodes,
        "layers",
        [helper.make_tensor_value_info("x0", TensorProto.FLOAT, ["n", sizes[0]])],
        [helper.make_tensor_value_info(f"x{last}", TensorProto.FLOAT, ["n", sizes[-1]])],
        weights,
    )
    opset = helper.make_opsetid("", 17)
    return helper.make_model(graph, opset_imports=[opset], ir_version=8).SerializeToString()


def small(seed: int) -> bytes:
    """A model of 100 KB."""
    return layers(64, 256, 32, seed=seed)


def busy(seed: int) -> bytes:
    """A model of 34 MB."""
    return layers(1024, 2048, 2048, 1024, seed=seed)


def real(most: int) -> list[bytes]:
    """Up to so many different models that packages ship, of at most 5 MiB, the smallest first."""
    found = {
        path.read_bytes() for path in MODELS.rglob("*.onnx") if path.stat().st_size <= MOST_BYTES
    }
    return sorted(found, key=lambda content: (len(content), content))[:most]


def damaged(originals: list[bytes], count: int, seed: int) -> Iterator[bytes]:
    """Models with something wrong: bytes changed, cut out, doubled or put in, mostly at the front, where the structure is."""
    generator = random.Random(seed)
    for number in range(count):
        content = bytearray(originals[number % len(originals)])
        for _ in range(generator.choice((1, 1, 2, 5, 20))):
            _damage(content, generator)
        yield bytes(content)


def _damage(content: bytearray, generator: random.Random) -> None:
    if len(content) < 2:
        return
    span = generator.choice((64, 1024, len(content), len(content)))
    at = generator.randrange(min(span, len(content)))
    if generator.random() < 0.25:
        at = len(content) - 1 - at  # graphs' inputs and outputs, opsets and metadata come last
    match generator.randrange(6):
        case 0:
            content[at] ^= 1 << generator.randrange(8)
        case 1:
            content[at] = generator.choice((0, 0x7F, 0x80, 0xFF))
        case 2:
            del content[at : at + generator.choice((1, 2, 8, 1000))]
        case 3:
            content[at:at] = generator.randbytes(generator.choice((1, 2, 8, 100)))
        case 4:
            content[at:at] = content[at : at + generator.choice((8, 64, 1000))]
        case _:
            del content[at + 1 :]
