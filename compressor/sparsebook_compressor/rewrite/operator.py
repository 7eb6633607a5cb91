"""Output `operator`: consumers with a kernel become `sparsebook` nodes, the others get their weight from `Decode`."""

from onnx import TensorProto, helper

from sparsebook_compressor.graph.attributes import int_attribute, ints_attribute
from sparsebook_compressor.graph.roles import domain_of
from sparsebook_compressor.graph.uses import Use
from sparsebook_compressor.graph.view import Weight
from sparsebook_compressor.rewrite import recurrent
from sparsebook_compressor.rewrite.surgery import DOMAIN, Surgeon

PAYLOAD_SUFFIX = ".payload"
_MOST_SPATIAL = 3
# Those that take weights of other dtypes too: a payload's values are float32's in any case.
_IN_FLOAT32 = ("Gemm", "MatMul", "Conv")


def replace(surgeon: Surgeon, weight: Weight, payload: bytes) -> int:
    """Put a payload (docs/format.md) in the place of a weight; its bytes are returned."""
    name = surgeon.payloads[weight.name] = surgeon.fresh(weight.value + PAYLOAD_SUFFIX)
    direct = [use for use in weight.uses if has_kernel(weight, use)]
    paired = [use for use in direct if recurrent.partner(use) is not None]
    for use in paired:
        surgeon.offers[id(use.node), use.index] = name

    def decide() -> None:
        """Point out the payload to those who take it, and decode it for the others."""
        taken = [use for use in direct if use not in paired or _has_both(surgeon, use)]
        for use in taken:
            _point(surgeon, weight, use, name)
        if len(taken) < len(weight.uses):
            _decode(surgeon, weight, name)

    if paired:
        surgeon.decide_last(decide)
    else:
        decide()
    surgeon.replace_tensor(weight, name, payload)
    return len(payload)


def _has_both(surgeon: Surgeon, use: Use) -> bool:
    """Whether the node is offered payloads for both of its weights."""
    return (id(use.node), recurrent.partner(use)) in surgeon.offers


def has_kernel(weight: Weight, use: Use) -> bool:
    """Whether the operator library computes this use straight from the payload (docs/operator.md)."""
    node, rank = use.node, len(weight.shape)
    in_function = weight.scope.function is not None or use.crosses_call  # see _decode
    if domain_of(node) != "" or in_function or not _is_taken(weight.dtype, use):
        return False
    straight = not use.via or _is_widened(use)
    if not straight and not (use.transposed and rank == 2 and _swaps(use)):
        return False
    match node.op_type:
        case "Gemm":
            legacy = any(attribute.name == "broadcast" for attribute in node.attribute)
            return use.index == 1 and rank == 2 and not legacy
        case "MatMul":
            return use.index == 1 and rank == 2
        case "Conv":
            spatial = 3 <= rank <= 2 + _MOST_SPATIAL
            return use.index == 1 and spatial and straight
        case "Gather":
            return use.index == 0 and not use.via and int_attribute(node, "axis") == 0
        case "LSTM" | "GRU":
            plain = recurrent.is_plain(node) and not use.via
            return plain and use.index in recurrent.WEIGHTS and rank == recurrent.RANK
    return False


def _is_taken(dtype: int, use: Use) -> bool:
    """Whether operators, which compute in float32, can take a weight of this dtype here.

    Whatever a Cast makes float32 they can; a float16 model's activations get Casts around the operator.
    """
    if dtype == TensorProto.FLOAT or use.node.op_type not in _IN_FLOAT32:
        return dtype == TensorProto.FLOAT
    return dtype == TensorProto.FLOAT16 or _is_widened(use)


def _swaps(use: Use) -> bool:
    """Whether the one Transpose on the way swaps the two axes, which is its default too."""
    return ints_attribute(use.via[0].node, "perm") in ([], [1, 0])


def _is_widened(use: Use) -> bool:
    """Whether nothing but a Cast to float32 stands between a weight and its consumer."""
    if len(use.via) != 1 or use.via[0].call or use.via[0].node.op_type != "Cast":
        return False
    return int_attribute(use.via[0].node, "to") == TensorProto.FLOAT


def _point(surgeon: Surgeon, weight: Weight, use: Use, payload: str) -> None:
    """Turn the consumer into the operator of the same name; a Transpose on the way becomes `transB`, a Cast goes."""
    node = use.node
    node.domain = DOMAIN
    node.input[use.index] = payload
    if _is_widened(use):
        surgeon.drop_if_unused(use.via[0].scope, use.via[0].node)
    elif weight.dtype == TensorProto.FLOAT16:
        _widen(surgeon, use)
    if node.op_type in recurrent.OPS:
        del node.input[recurrent.PEEPHOLES :]
    if use.transposed:
        flipped = int(int_attribute(node, "transB") == 0)
        for index in reversed(range(len(node.attribute))):
            if node.attribute[index].name == "transB":
                del node.attribute[index]
        node.attribute.append(helper.make_attribute("transB", flipped))
        surgeon.drop_if_unused(use.via[0].scope, use.via[0].node)


def _widen(surgeon: Surgeon, use: Use) -> None:
    """Casts around an operator whose activations are float16: it takes and gives float32."""
    node = use.node
    for index, name in enumerate(node.input):
        if name and index != use.index:
            node.input[index] = surgeon.fresh(f"{name}.float32")
            cast = helper.make_node("Cast", [name], [node.input[index]], to=TensorProto.FLOAT)
            surgeon.put_before(use.scope, node, cast)
    output = node.output[0]
    node.output[0] = surgeon.fresh(f"{output}.float32")
    cast = helper.make_node("Cast", [node.output[0]], [output], to=TensorProto.FLOAT16)
    surgeon.put_behind(use.scope, node, cast)


def _decode(surgeon: Surgeon, weight: Weight, payload: str) -> None:
    """A Decode node in the weight's stead; it gives float32, a Cast makes other dtypes.

    ONNX Runtime infers the types of a local function's outputs from its body, where operators of a library have none: there a
    Cast says the type in any case, and products keep their standard nodes. They do so too where a function is passed the
    weight: other calls may pass it others.
    """
    name = surgeon.stand_in(weight)
    cast = weight.dtype != TensorProto.FLOAT or weight.scope.function is not None
    output = surgeon.fresh(f"{name}.float32") if cast else name
    nodes = [
        helper.make_node("Decode", [payload], [output], domain=DOMAIN, shape=list(weight.shape))
    ]
    if cast:
        nodes.append(helper.make_node("Cast", [output], [name], to=weight.dtype))
    surgeon.insert(weight, nodes)
    if weight.scope.graph is not None:
        values = weight.scope.graph.value_info
        if all(value.name != name for value in values):
            values.append(helper.make_tensor_value_info(name, weight.dtype, list(weight.shape)))
