"""An artifact back to a plain model: payloads become floats, operators the standard nodes that they stand for."""

from collections.abc import Callable
from pathlib import Path

from onnx import FunctionProto, ModelProto, NodeProto, TensorProto, helper

from sparsebook_compressor import admit, pack
from sparsebook_compressor.artifact import Stored, Use, payloads
from sparsebook_compressor.errors import BadValue, InvalidGraph, TooLarge
from sparsebook_compressor.graph.flow import Flow
from sparsebook_compressor.graph.spool import Spool
from sparsebook_compressor.graph.tensors import STORED
from sparsebook_compressor.payload_header import Header
from sparsebook_compressor.report import FileFacts
from sparsebook_compressor.rewrite import standard
from sparsebook_compressor.rewrite.dense import stored
from sparsebook_compressor.rewrite.operator import PAYLOAD_SUFFIX
from sparsebook_compressor.rewrite.surgery import DOMAIN, Surgeon, fill

# What payloads may become: as much as one ONNX file holds without data beside it, or so many times their own bytes. A pruned
# weight of which one element in 1000 is left takes a 4000th of its floats; only a lone symbol, a weight all pruned, takes
# less, and the largest layer of VGG-16 is 0.4 GB then.
_MOST_BYTES = 1 << 31
_MOST_RATIO = 4096


def decompress(artifact: Path, output: Path) -> FileFacts:
    """Write an artifact's model with plain floats in the place of payloads.

    Args:
        artifact: a file that holds `sparsebook` operators.
        output: where the model goes; it appears whole or not at all.

    Raises:
        BadValue: no payload in the file: a plain model, or a portable or dense artifact, which needs no decoding; or the output
            cannot be written.
        InputError: the file is no ONNX model, or a payload is damaged.
        TooLarge: payloads that claim out of all proportion to their bytes.
        StorageFull: no room left.
    """
    model = admit.load(artifact)
    found = payloads(model, artifact)
    if not found:
        raise BadValue(
            f"{artifact.name}: no sparsebook operators in it, so there is nothing to decompress: give model.onnx of a bundle; a plain model, and a portable or dense artifact, opens as it is"
        )
    with pack.usable(output):
        if output.is_dir():
            raise BadValue(f"{output}: is a folder; name the file that is to be written")
    check_headers(artifact, found)
    with pack.folder_beside(output) as scratch:
        spool = Spool(scratch / "floats")

        def hold_floats(payload: Stored, name: str) -> None:
            fill(payload.tensor, name, stored(payload.decode()))
            spool.take(payload.tensor)

        with pack.translate_errors(output):
            restore(model, found, hold_floats)
        _write(model, artifact, output)
    return pack.facts(output.parent, output.name)


def restore(model: ModelProto, found: list[Stored], hold: Callable[[Stored, str], None]) -> None:
    """Make an artifact's model a plain one, in place: operators become the standard nodes that they stand for.

    Args:
        model: the artifact.
        found: its payloads.
        hold: makes a payload's tensor one of the weight's shape, dtype and the name given.

    Raises:
        PayloadError, InvalidGraph: a payload or an operator that this version does not know.
    """
    surgeon = Surgeon(model)
    flow = Flow.of(model)
    for payload in found:
        _restore(surgeon, payload, flow, hold)
    surgeon.finish()
    holders: list[ModelProto | FunctionProto] = [model, *model.functions]
    for holder in holders:
        _forget_domain(holder)


def check_headers(artifact: Path, found: list[Stored]) -> None:
    """Refuse what the headers say before anything is decoded.

    Raises:
        PayloadError, InvalidGraph: a header that is damaged, or does not fit the operator.
        TooLarge: payloads that claim out of all proportion to their bytes.
    """
    claimed = 0
    for payload in found:
        header = payload.header()
        claimed += header.elements * STORED[header.dtype].itemsize
        for use in payload.uses:
            _check_shape(payload, use, header)
    check_claim(artifact, claimed, sum(len(payload.data) for payload in found))


def check_claim(artifact: Path, claimed: int, size: int) -> None:
    """Refuse coded weights that would become too many floats.

    Args:
        artifact: the file, for the message.
        claimed: bytes of floats.
        size: bytes that they are coded in.

    Raises:
        TooLarge: they claim out of all proportion to their bytes.
    """
    if claimed > max(_MOST_BYTES, _MOST_RATIO * size):
        raise TooLarge(
            f"{artifact.name}: its payloads, {size} bytes, claim to be {claimed} bytes of weights; at most {_MOST_BYTES}, or "
            f"{_MOST_RATIO} times the payloads' bytes, are decoded; an artifact that Sparsebook wrote stays far below"
        )


def _check_shape(payload: Stored, use: Use, header: Header) -> None:
    if use.node.op_type != "Decode":
        return
    if len(use.node.output) != 1:
        raise InvalidGraph(f"Decode {use.node.name!r}: {len(use.node.output)} outputs; it has one")
    shape = next((tuple(a.ints) for a in use.node.attribute if a.name == "shape"), None)
    if shape != header.shape:
        raise InvalidGraph(
            f"Decode {use.node.name!r}: its shape {shape} is not that of its payload {payload.name!r}, {header.shape}; "
            "the file is damaged: compress the model again"
        )


def _restore(
    surgeon: Surgeon, payload: Stored, flow: Flow, hold: Callable[[Stored, str], None]
) -> None:
    """The weight in a payload's place, under the name by which consumers know what the first Decode beside it makes.

    What any other Decode of the payload makes is handed on from there under its own name.
    """
    header = payload.header()
    dtype, shape = header.dtype, header.shape
    name, others = "", []
    for use in payload.uses:
        if use.node.op_type == "Decode":
            known = _known_as(flow, use, dtype)
            if known is None or name or use.scope is not payload.scope:
                others.append(use)
            else:
                name, between = known
                for node in between:
                    surgeon.drop(use.scope, node)
    name = name or surgeon.fresh(payload.name.removesuffix(PAYLOAD_SUFFIX))
    hold(payload, name)
    if payload.node is not None:
        payload.node.output[0] = name
    for use in others:
        surgeon.put_before(use.scope, use.node, _handed_on(name, use.node.output[0], dtype))
        surgeon.drop(use.scope, use.node)
    for use in payload.uses:
        if use.node.op_type != "Decode":
            taken = name
            if dtype != TensorProto.FLOAT:  # operators compute in float32
                taken = surgeon.fresh(f"{name}.float32")
                surgeon.put_before(use.scope, use.node, _handed_on(name, taken, dtype))
            standard.replace(surgeon, use.scope, use.node, use.index, taken, shape)


def _known_as(flow: Flow, use: Use, dtype: int) -> tuple[str, list[NodeProto]] | None:
    """The name of a weight in its own dtype behind a Decode, which gives float32, and the nodes on the way to it."""
    name = use.node.output[0]
    cast = flow.only_consumer(use.scope, name)
    if cast is not None and cast.op_type == "Cast" and _int(cast, "to") == dtype:
        return cast.output[0], [use.node, cast]
    return (name, [use.node]) if dtype == TensorProto.FLOAT else None


def _handed_on(name: str, output: str, dtype: int) -> NodeProto:
    if dtype == TensorProto.FLOAT:
        return helper.make_node("Identity", [name], [output])
    return helper.make_node("Cast", [name], [output], to=TensorProto.FLOAT)


def _int(node: NodeProto, name: str) -> int | None:
    return next((attribute.i for attribute in node.attribute if attribute.name == name), None)


def _forget_domain(holder: ModelProto | FunctionProto) -> None:
    for index in reversed(range(len(holder.opset_import))):
        if holder.opset_import[index].domain == DOMAIN:
            del holder.opset_import[index]


def _write(model: ModelProto, source: Path, output: Path) -> None:
    """Through a folder beside the output: a model that is there has its data beside it, and no data of an earlier one."""
    data = output.with_name(f"{output.name}.data")
    read_from = {(source.parent / name).resolve() for name in pack.external_files(model)}
    with pack.folder_beside(output) as partial:
        with pack.translate_errors(output):
            pack.write_model(model, partial, source, output.name)
        with pack.usable(output):
            has_data = (partial / data.name).exists()
            if has_data:
                (partial / data.name).replace(data)
            in_place = source.resolve() == output.resolve()
            (partial / output.name).replace(output)
            if not has_data and (in_place or data.resolve() not in read_from):
                data.unlink(missing_ok=True)
