"""An artifact back to a plain model: payloads become floats, operators the standard nodes that they stand for."""

import shutil
import tempfile
from pathlib import Path

from onnx import AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto, helper

from sparsebook_compressor import admit, pack
from sparsebook_compressor.artifact import Stored, Use, payloads
from sparsebook_compressor.errors import BadValue, InvalidGraph
from sparsebook_compressor.graph.scopes import Scope, scopes
from sparsebook_compressor.report import FileFacts
from sparsebook_compressor.rewrite.dense import stored
from sparsebook_compressor.rewrite.operator import PAYLOAD_SUFFIX
from sparsebook_compressor.rewrite.surgery import DOMAIN, Surgeon, fill


def decompress(artifact: Path, output: Path) -> FileFacts:
    """Write an artifact's model with plain floats in the place of payloads.

    Args:
        artifact: a file that holds `sparsebook` operators.
        output: where the model goes; it appears whole or not at all.

    Raises:
        BadValue: no payload in the file: a plain model, or a portable or dense artifact, which needs no decoding.
        InputError: the file is no ONNX model, or a payload is damaged.
        StorageFull: no room left.
    """
    model = admit.load(artifact)
    found = payloads(model, artifact)
    if not found:
        raise BadValue(
            f"{artifact.name}: no sparsebook operators in it; portable and dense artifacts open as they are"
        )
    surgeon = Surgeon(model)
    for payload in found:
        _restore(surgeon, payload)
    surgeon.finish()
    holders: list[ModelProto | FunctionProto] = [model, *model.functions]
    for holder in holders:
        _forget_domain(holder)
    with pack.translate_errors(output):
        _write(model, artifact, output)
    return pack.facts(output.parent, output.name)


def _restore(surgeon: Surgeon, payload: Stored) -> None:
    name = payload.name.removesuffix(PAYLOAD_SUFFIX)
    decodes = [use for use in payload.uses if use.node.op_type == "Decode"]
    if not decodes:
        name = surgeon.fresh(name)
    weight = payload.decode()
    for use in decodes:
        name = _cut_out(surgeon, use, weight.dtype)
    fill(payload.tensor, name, stored(weight))
    if payload.node is not None:
        payload.node.output[0] = name
    for use in payload.uses:
        if use.node.op_type != "Decode":
            _standard(surgeon, use, name)


def _cut_out(surgeon: Surgeon, use: Use, dtype: int) -> str:
    """Drop a Decode, and the Cast behind it that says the weight's dtype; the name under which consumers know the weight."""
    name = use.node.output[0]
    surgeon.drop(use.scope, use.node)
    consumers = [
        (scope, node)
        for scope in scopes(surgeon.model)
        for node in scope.body.node
        if name in node.input and _home(scope, name) is use.scope.body
    ]
    if len(consumers) != 1:
        return name
    scope, node = consumers[0]
    if scope.body is not use.scope.body or node.op_type != "Cast" or _int(node, "to") != dtype:
        return name
    surgeon.drop(use.scope, node)
    return node.output[0]


def _home(scope: Scope, name: str) -> GraphProto | FunctionProto | None:
    """The body that defines a name as seen from a scope."""
    home = scope.resolve(name)
    return None if home is None else home.body


def _int(node: NodeProto, name: str) -> int | None:
    return next((attribute.i for attribute in node.attribute if attribute.name == name), None)


def _standard(surgeon: Surgeon, use: Use, name: str) -> None:
    """The operator as the standard node of the same name; MatMul has no `transB`, so a Transpose goes before it."""
    node = use.node
    settings = {attribute.name: attribute for attribute in node.attribute}
    activation = settings.get("activation", AttributeProto(s=b"none")).s
    if activation != b"none":
        raise InvalidGraph(
            f"{node.op_type} {node.name!r}: activation {activation!r} is not known to this version"
        )
    node.domain = ""
    node.input[use.index] = name
    transposed = node.op_type == "MatMul" and _int(node, "transB") == 1
    extra = {"activation", "low", "high"} | ({"transB"} if node.op_type == "MatMul" else set())
    kept = [
        AttributeProto.FromString(a.SerializeToString())
        for a in node.attribute
        if a.name not in extra
    ]
    del node.attribute[:]
    node.attribute.extend(kept)
    if transposed:
        turned = surgeon.fresh(f"{name}.transposed")
        surgeon.put_before(
            use.scope, node, helper.make_node("Transpose", [name], [turned], perm=[1, 0])
        )
        node.input[use.index] = turned


def _forget_domain(holder: ModelProto | FunctionProto) -> None:
    for index in reversed(range(len(holder.opset_import))):
        if holder.opset_import[index].domain == DOMAIN:
            del holder.opset_import[index]


def _write(model: ModelProto, source: Path, output: Path) -> None:
    """Through a folder beside the output; the data file, where there is one, is moved before the model."""
    output.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{output.name}.partial-", dir=output.parent))
    try:
        pack.write_model(model, partial, source, output.name)
        for file in sorted(partial.iterdir(), key=lambda file: -len(file.name)):
            file.replace(output.parent / file.name)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
