"""What of an earlier contract a later one breaks, for clients that were written against the earlier one.

A client may send all that it could send, and finds all that it could read: addresses, methods, parameters and answers stay, a property of
an answer keeps its types and stays required where it was, and nothing new is required of a request.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Node = Mapping[str, Any]
_METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")


def broken(old: Node, new: Node) -> list[str]:
    """What a client of `old` would stumble over in `new`, a line each; both are whole OpenAPI documents."""
    return list(_Pair(old, new).paths())


@dataclass(frozen=True)
class _Pair:
    old: Node
    new: Node

    def paths(self) -> Iterator[str]:
        for path, before in self.old["paths"].items():
            after = self.new["paths"].get(path)
            if after is None:
                yield f"{path}: is gone"
                continue
            for method in before.keys() & set(_METHODS):
                if method not in after:
                    yield f"{method} {path}: is gone"
                else:
                    yield from self._operation(f"{method} {path}", before[method], after[method])

    def _operation(self, where: str, old: Node, new: Node) -> Iterator[str]:
        yield from self._parameters(where, old.get("parameters", []), new.get("parameters", []))
        yield from self._body(f"{where}: body", old.get("requestBody"), new.get("requestBody"))
        for status, answer in old["responses"].items():
            if status not in new["responses"]:
                # A client that is ready for a fault of the service goes on working where there is none any more.
                if int(status) < 500:
                    yield f"{where}: {status} is gone"
                continue
            before = self._found(self.old, answer)
            after = self._found(self.new, new["responses"][status])
            for kind, content in before.get("content", {}).items():
                if kind not in after.get("content", {}):
                    yield f"{where}: {status} has no {kind}"
                else:
                    later = after["content"][kind].get("schema", {})
                    yield from self._answer(f"{where}: {status}", content.get("schema", {}), later)
            yield from (
                f"{where}: {status} has no header {name}"
                for name in before.get("headers", {}).keys() - after.get("headers", {}).keys()
            )

    def _parameters(self, where: str, old: list[Node], new: list[Node]) -> Iterator[str]:
        before = {self._key(self.old, entry): self._found(self.old, entry) for entry in old}
        after = {self._key(self.new, entry): self._found(self.new, entry) for entry in new}
        for key in before.keys() - after.keys():
            yield f"{where}: parameter {key[1]} is gone"
        for key, entry in after.items():
            if entry.get("required") and not before.get(key, {}).get("required"):
                yield f"{where}: parameter {key[1]} is required"
        for key in before.keys() & after.keys():
            schemas = before[key].get("schema", {}), after[key].get("schema", {})
            yield from self._request(f"{where}: parameter {key[1]}", *schemas)

    def _body(self, where: str, old: Node | None, new: Node | None) -> Iterator[str]:
        if new is not None and new.get("required") and not (old or {}).get("required"):
            yield f"{where}: is required"
        if old is None:
            return
        later = (new or {}).get("content", {})
        for kind, content in old["content"].items():
            if kind not in later:
                yield f"{where}: {kind} is not taken"
            else:
                schemas = content.get("schema", {}), later[kind].get("schema", {})
                yield from self._request(where, *schemas)

    def _answer(self, where: str, old: Node, new: Node) -> Iterator[str]:
        """Whatever `new` allows an answer to be, `old` has told its client to expect."""
        old, new = self._found(self.old, old), self._found(self.new, new)
        more = _types(new) - _types(old)
        if _types(old) and more:
            yield f"{where}: may be {', '.join(sorted(more))}"
        for name in set(old.get("required", ())) - set(new.get("required", ())):
            yield f"{where}.{name}: is not always there"
        for name, schema in old.get("properties", {}).items():
            if name not in new.get("properties", {}):
                yield f"{where}.{name}: is gone"
            else:
                yield from self._answer(f"{where}.{name}", schema, new["properties"][name])
        if "items" in old:
            yield from self._answer(f"{where}[]", old["items"], new.get("items", {}))

    def _request(self, where: str, old: Node, new: Node) -> Iterator[str]:
        """Whatever `old` allowed a client to send, `new` takes."""
        old, new = self._found(self.old, old), self._found(self.new, new)
        less = _types(old) - _types(new)
        if _types(new) and less:
            yield f"{where}: may not be {', '.join(sorted(less))}"
        for value in set(old.get("enum", ())) - set(new.get("enum", old.get("enum", ()))):
            yield f"{where}: {value!r} is not taken"
        for name in set(new.get("required", ())) - set(old.get("required", ())):
            yield f"{where}.{name}: is required"
        for name, schema in old.get("properties", {}).items():
            if name not in new.get("properties", {}):
                yield f"{where}.{name}: is not taken"
            else:
                yield from self._request(f"{where}.{name}", schema, new["properties"][name])
        if "items" in old and "items" in new:
            yield from self._request(f"{where}[]", old["items"], new["items"])

    def _key(self, document: Node, entry: Node) -> tuple[str, str]:
        found = self._found(document, entry)
        return found["in"], found["name"]

    @staticmethod
    def _found(document: Node, node: Node) -> Node:
        while "$ref" in node:
            found: Any = document
            for name in node["$ref"].removeprefix("#/").split("/"):
                found = found[name]
            node = found
        return node


def _types(schema: Node) -> set[str]:
    """The JSON types that a schema allows by name; none where it names none."""
    kinds = schema.get("type", [])
    found = {kinds} if isinstance(kinds, str) else set(kinds)
    for choice in (*schema.get("anyOf", ()), *schema.get("oneOf", ())):
        found |= _types(choice)
    return found
