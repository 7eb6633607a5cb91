"""openapi.yaml and docs/http.md say what the service does."""

import re
from functools import reduce
from pathlib import Path
from typing import Any

import yaml

from sparsebook_service import openapi
from sparsebook_service.problems import CATALOGUE
from sparsebook_service.settings import PREFIX, Settings

ROOT = Path(__file__).parents[2]
HTTP = (ROOT / "docs/http.md").read_text()


def test_the_document_is_the_apps() -> None:
    """After a change of the app: `python -m sparsebook_service.openapi openapi.yaml`, and look at the difference."""
    assert (ROOT / "openapi.yaml").read_text() == openapi.document()


def test_every_refusal_is_a_problem() -> None:
    document = yaml.safe_load((ROOT / "openapi.yaml").read_text())
    slugs = {kind.slug: kind.status for kind in CATALOGUE}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            for status, response in operation["responses"].items():
                if int(status) < 400:
                    continue
                content = response["content"]
                assert list(content) == ["application/problem+json"], (method, path)
                for slug in content["application/problem+json"]["examples"]:
                    assert slugs[slug] == int(status)


def _exemplified(document: dict[str, Any], node: dict[str, Any]) -> bool:
    """Whether there is an example of a content, a parameter, a header or a schema: its own, or one of all that it is made of."""
    if "$ref" in node:
        node = reduce(lambda part, step: part[step], node["$ref"][2:].split("/"), document)
    if node.keys() & {"example", "examples", "enum", "const", "default"}:
        return True
    parts = [
        *node.get("properties", {}).values(),
        *(node[key] for key in ("schema", "items") if key in node),
    ]
    return bool(parts) and all(_exemplified(document, part) for part in parts)


def test_everything_has_an_example() -> None:
    """But bytes, of which none says anything."""
    document = yaml.safe_load((ROOT / "openapi.yaml").read_text())
    without = []
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            without += [
                (method, path, entry["name"])
                for entry in operation.get("parameters", ())
                if not _exemplified(document, entry)
            ]
            for status, answer in operation["responses"].items():
                shown = {**answer.get("headers", {}), **answer.get("content", {})}
                without += [
                    (method, path, status, name)
                    for name, entry in shown.items()
                    if entry.get("schema", {}).get("format") != "binary"
                    and not _exemplified(document, entry)
                ]
    assert without == []


def test_routes_are_documented() -> None:
    document = yaml.safe_load((ROOT / "openapi.yaml").read_text())
    for path, operations in document["paths"].items():
        shown = re.sub(r"\{\w+_id\}", "{id}", path)
        for method in operations:
            assert f"`{method.upper()} {shown}" in HTTP


def test_problems_are_documented() -> None:
    rows = dict(re.findall(r"^\| `([a-z-]+)` \| (\d{3}) \|", HTTP, re.MULTILINE))
    assert rows == {kind.slug: str(kind.status) for kind in CATALOGUE}
    for kind in CATALOGUE:
        assert f"| {kind.meaning} | {kind.remedy} |" in HTTP


def test_settings_are_documented() -> None:
    named = set(re.findall(rf"^\| `{PREFIX}([A-Z_]+)` \|", HTTP, re.MULTILINE))
    assert named == {name.upper() for name in Settings.model_fields}
