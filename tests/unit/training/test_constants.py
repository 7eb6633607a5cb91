"""Inputs that are the same in every run: they come from files, and what is made of them is made again for the way back."""

import json
import subprocess
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

from tests.unit.training.graphs import blobs, pruned_and_shared
from tests.unit.training.worker import PYTHON, Job

CODES, FILE = "fc2.codes", "constant-00000.npy"
BUILD = """
import pathlib, sys
from sparsebook_training import graph, order
folder, out = map(pathlib.Path, sys.argv[1:])
wanted = order.read(folder)
graph.build(graph.load(folder, wanted), wanted, out)
"""


def with_constants(job: Job, **changes: object) -> np.ndarray:
    """An order whose codes are a constant; the codes."""
    model, parameters, _ = pruned_and_shared()
    held = next(tensor for tensor in model.graph.initializer if tensor.name == CODES)
    codes = numpy_helper.to_array(held)
    model.graph.input.append(
        helper.make_tensor_value_info(CODES, held.data_type, list(codes.shape))
    )
    model.graph.initializer.remove(held)
    job.write_order(model, parameters, **({"constants": {CODES: FILE}} | changes))
    np.save(job.order / FILE, codes)
    return codes


def write_dataset(job: Job) -> None:
    job.write_dataset([blobs(200, 1)], [blobs(100, 2)])


def test_a_constant_trains_as_an_initializer_does(tmp_path: Path) -> None:
    inside, outside = Job(tmp_path / "inside"), Job(tmp_path / "outside")
    model, parameters, _ = pruned_and_shared()
    inside.write_order(model, parameters)
    with_constants(outside)
    write_dataset(inside)
    write_dataset(outside)
    first, second = inside.train(), outside.train()
    assert first.values["kept_epoch"] > 0
    assert first.bytes == second.bytes


def test_what_is_made_of_a_constant_is_not_kept_for_the_way_back(tmp_path: Path) -> None:
    job = Job(tmp_path)
    with_constants(job)
    built = tmp_path / "built"
    built.mkdir()
    subprocess.run([PYTHON, "-P", "-c", BUILD, job.order, built], check=True, capture_output=True)
    nodes = onnx.load(built / "training_model.onnx").graph.node
    takers = [node for node in nodes if {"fc2.flat", "fc2.dense"}.intersection(node.input)]
    assert [node.op_type for node in takers] == ["Reshape", "Gemm"]
    again = [node for node in nodes if "/behind " in node.name]
    assert [node.op_type for node in again] == ["PassThrough", "Gather", "Reshape"]
    wait, _, reshape = again
    assert wait.input[0] == CODES
    assert wait.input[1].endswith("_grad")
    assert [node.op_type for node in nodes if reshape.output[0] in node.input] == ["Gemm"]


def test_other_constants_are_another_training(tmp_path: Path) -> None:
    job = Job(tmp_path)
    codes = with_constants(job, epochs=1)
    write_dataset(job)
    first = job.train().bytes
    np.save(job.order / FILE, np.roll(codes, 1))
    assert job.train().bytes != first


def test_constants_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    cases = [
        ({CODES: "../codes.npy"}, None, "'constants': '../codes.npy' is no plain file name"),
        ([CODES], None, "'constants' must be an object from names to files"),
        ({"codes": FILE}, None, "the constant 'codes' is no input of model.onnx"),
        ({CODES: "other.npy"}, None, "other.npy is missing"),
        ({CODES: FILE}, np.zeros(3, np.int64), "int64[3], the graph's input 'fc2.codes' is"),
        ({CODES: FILE}, np.zeros(64, np.uint8), "uint8[64], the graph's input 'fc2.codes' is"),
    ]
    for number, (constants, codes, words) in enumerate(cases):
        job = Job(tmp_path / str(number))
        with_constants(job)
        write_dataset(job)
        values = json.loads((job.order / "order.json").read_text())
        (job.order / "order.json").write_text(json.dumps(values | {"constants": constants}))
        if codes is not None:
            np.save(job.order / FILE, codes)
        assert words in job.fail("internal")
