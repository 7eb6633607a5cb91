"""The contract against those of earlier releases, and whether a break would be seen."""

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.contract.compatibility import broken

ROOT = Path(__file__).parents[2]
RELEASED = sorted((Path(__file__).parent / "released").glob("openapi-*.yaml"))
JOB = "get /jobs/{job_id}: 200"


def read(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(path.read_text())
    return document


def test_there_is_a_contract_to_keep() -> None:
    assert RELEASED


@pytest.mark.parametrize("path", RELEASED, ids=lambda path: path.stem)
def test_clients_of_an_earlier_release_go_on_working(path: Path) -> None:
    assert broken(read(path), read(ROOT / "openapi.yaml")) == []


def _without_path(document: Any) -> None:
    del document["paths"]["/jobs"]


def _without_method(document: Any) -> None:
    del document["paths"]["/jobs/{job_id}"]["delete"]


def _without_status(document: Any) -> None:
    del document["paths"]["/jobs/{job_id}"]["get"]["responses"]["404"]


def _without_property(document: Any) -> None:
    del document["components"]["schemas"]["Job"]["properties"]["stage"]


def _other_type(document: Any) -> None:
    document["components"]["schemas"]["Job"]["properties"]["id"] = {"type": "integer"}


def _not_always(document: Any) -> None:
    document["components"]["schemas"]["Job"]["required"].remove("id")


def _option_gone(document: Any) -> None:
    del document["components"]["schemas"]["Config"]["properties"]["seed"]


def _parameter_required(document: Any) -> None:
    entry = {"in": "query", "name": "new", "required": True, "schema": {"type": "string"}}
    document["paths"]["/jobs"]["get"]["parameters"].append(entry)


def _parameter_gone(document: Any) -> None:
    parameters = document["paths"]["/jobs"]["get"]["parameters"]
    parameters[:] = [entry for entry in parameters if entry.get("name") != "limit"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_without_path, "/jobs: is gone"),
        (_without_method, "delete /jobs/{job_id}: is gone"),
        (_without_status, "get /jobs/{job_id}: 404 is gone"),
        (_without_property, f"{JOB}.stage: is gone"),
        (_other_type, f"{JOB}.id: may be integer"),
        (_not_always, f"{JOB}.id: is not always there"),
        (_option_gone, "post /compress: body.config.seed: is not taken"),
        (_parameter_required, "get /jobs: parameter new is required"),
        (_parameter_gone, "get /jobs: parameter limit is gone"),
    ],
)
def test_a_break_is_told(change: Any, said: str) -> None:
    old = read(RELEASED[-1])
    new = copy.deepcopy(old)
    change(new)
    assert said in broken(old, new)


def test_additions_break_nothing() -> None:
    old = read(RELEASED[-1])
    new = copy.deepcopy(old)
    new["paths"]["/more"] = {"get": {"responses": {"200": {"description": "more"}}}}
    new["components"]["schemas"]["Job"]["properties"]["more"] = {"type": "string"}
    entry = {"in": "query", "name": "more", "schema": {"type": "string"}}
    new["paths"]["/jobs"]["get"]["parameters"].append(entry)
    assert broken(old, new) == []
