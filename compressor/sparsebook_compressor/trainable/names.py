"""Names: fresh ones for values, unique ones for nodes, and readable ones for messages."""

from onnx import ModelProto, NodeProto

from sparsebook_compressor.graph.scopes import scopes


class Names:
    """The value names of a model that are taken."""

    def __init__(self, model: ModelProto) -> None:
        """Take all that the model's scopes define."""
        self._taken = {name for scope in scopes(model) for name in scope.defined}

    def fresh(self, wish: str) -> str:
        """A name that is not in use, near to the wish."""
        name, number = wish, 2
        while name in self._taken:
            name, number = f"{wish}_{number}", number + 1
        self._taken.add(name)
        return name


def label(node: NodeProto) -> str:
    """How a message calls a node: its op and its name, or its output where it has none."""
    return f"{node.op_type} {node.name or next(iter(node.output), '')!r}"


def name_nodes(model: ModelProto) -> None:
    """Give every node of the main graph a name of its own: the gradient builder names its values after them."""
    seen: set[str] = set()
    for index, node in enumerate(model.graph.node):
        if not node.name or node.name in seen:
            base = node.name or f"{node.op_type}_{index}"
            node.name = base
            number = 2
            while node.name in seen:
                node.name, number = f"{base}__{number}", number + 1
        seen.add(node.name)
