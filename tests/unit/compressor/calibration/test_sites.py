"""What a layer sees and as which matrix its weight is read: matrix times vectors is what ONNX Runtime computes."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
from onnx import ModelProto

from sparsebook_compressor import admit
from sparsebook_compressor.calibration.sites import Site, sites
from sparsebook_compressor.calibration.vectors import vectors
from sparsebook_compressor.calibration.workbench import Workbench
from sparsebook_compressor.graph.view import survey
from tests.unit.compressor import models
from tests.unit.compressor.models import feeds_of

PRODUCTS: list[Callable[[], ModelProto]] = [
    models.one_matmul,
    models.gemm,
    models.transposed,
    models.transposed_gemm,
    models.conv,
    models.conv_same,
    models.grouped,
    models.depthwise,
    models.conv_1d,
    models.conv_3d,
    models.constant_node,
    models.sparse_initializer,
]


def laid_out(model: ModelProto, folder: Path) -> tuple[Workbench, list[Site]]:
    path = folder / "model.onnx"
    if not path.exists():
        path.write_bytes(model.SerializeToString())
    view = survey(model, path)
    bench = Workbench(path, model, [weight.name for weight in view.weights], folder / "bench")
    return bench, sites([weight for weight in view.weights if weight.name in bench.names])


@pytest.mark.parametrize("make", PRODUCTS, ids=lambda make: str(make.__name__))
def test_matrix_times_vectors_is_what_the_layer_computes(
    make: Callable[[], ModelProto], tmp_path: Path
) -> None:
    model = make()
    bench, found = laid_out(model, tmp_path)
    site = found[0]
    assert site.kind in ("product", "conv")
    feed = feeds_of(model)
    # Without its weight a layer gives its bias: the difference is the product alone.
    output = site.use.node.output[0]
    whole = next(bench.run([output], [feed]))[output]
    bench.put(site.weight.name, np.zeros(site.weight.elements, np.float32))
    rest = next(bench.run([output], [feed]))[output]
    seen = vectors(site, next(bench.run([site.tap], [feed]))[site.tap])
    assert seen is not None
    matrices = site.matrices(site.weight.read())
    ours = np.einsum("grc,gnc->ngr", matrices, seen).reshape(seen.shape[1], -1)
    # A Gemm's alpha scales all errors alike, so that decisions do not need it.
    alpha = next((each.f for each in site.use.node.attribute if each.name == "alpha"), 1.0)
    theirs = (whole - rest) / alpha
    if site.kind == "conv":
        theirs = np.moveaxis(theirs, 1, -1)
    np.testing.assert_allclose(ours, theirs.reshape(ours.shape), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("hiding", models.HIDING, ids=lambda hiding: str(hiding.name))
def test_every_weight_has_a_site_that_turns_it_back(hiding: models.Hiding, tmp_path: Path) -> None:
    model = admit.load(hiding.write(tmp_path))
    bench, found = laid_out(model, tmp_path)
    assert {site.weight.name for site in found} == set(bench.names)
    for site in found:
        values = np.arange(site.weight.elements, dtype=np.float32)
        np.testing.assert_array_equal(site.flat(site.matrices(values)), values)


def test_the_workbench_says_what_the_original_says_until_a_weight_changes(tmp_path: Path) -> None:
    model = models.branches()
    bench, found = laid_out(model, tmp_path)
    feed = feeds_of(model)
    expected = ort.InferenceSession(model.SerializeToString()).run(None, feed)
    same = ort.InferenceSession(str(bench.whole())).run(None, feed)
    np.testing.assert_array_equal(same[0], expected[0])
    for site in found:
        bench.put(site.weight.name, np.zeros(site.weight.elements, np.float32))
    changed = ort.InferenceSession(str(bench.whole())).run(None, feed)
    assert not np.array_equal(changed[0], expected[0])
