"""The page's addresses, asked without a browser."""

import re
import subprocess
import sys
from typing import Any

import httpx
import pytest
import yaml

from sparsebook_compressor.looks import Histogram
from sparsebook_compressor.reporting import charts
from sparsebook_service import openapi
from sparsebook_service.jobs.history import Event, Happened
from sparsebook_service.page import curves, render
from tests.e2e import models
from tests.e2e.calls import OCTETS, assert_problem, submit, wait
from tests.e2e.conftest import MakeServer

EVIL = "<img src=x onerror=alert(1)>.onnx"


def test_frames_hold_nothing_of_anybodys(http: httpx.Client, done: dict[str, Any]) -> None:
    for path in ("/", f"/page/jobs/{done['id']}", "/page/jobs/%3Cscript%3E"):
        frame = http.get(path)
        assert frame.status_code == 200
        assert frame.headers["content-security-policy"] == render.POLICY
        assert "tiny.onnx" not in frame.text
        assert "<script>" not in frame.text
        assert "style=" not in frame.text
    assert "unsafe" not in render.POLICY


@pytest.mark.parametrize("name", render.ASSETS)
def test_assets_are_kept_by_browsers_and_asked_again_by_their_tag(
    http: httpx.Client, name: str
) -> None:
    answer = http.get(f"/page/assets/{name}")
    assert answer.headers["content-type"].startswith(render.ASSETS[name])
    assert "immutable" in answer.headers["cache-control"]
    again = http.get(f"/page/assets/{name}", headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_the_page_is_no_part_of_the_contract() -> None:
    assert not [
        path
        for path in yaml.safe_load(openapi.document())["paths"]
        if "page" in path or path == "/"
    ]


def test_names_of_files_are_text(http: httpx.Client) -> None:
    job = submit(http, models.small(), params={"name": EVIL})
    wait(http, job["id"])
    for path in ("/page/parts/jobs", f"/page/parts/jobs/{job['id']}"):
        part = http.get(path).text
        assert "<img" not in part
        assert "&lt;img src=x onerror=alert(1)&gt;.onnx" in part
    assert http.delete(f"/jobs/{job['id']}").status_code == 204
    assert_problem(http.get(f"/page/parts/jobs/{job['id']}"), 404, "unknown-job")


def test_the_contract_can_search_too(http: httpx.Client, done: dict[str, Any]) -> None:
    for text in ("TINY", done["id"][:9]):
        found = http.get("/jobs", params={"search": text}).json()["jobs"]
        assert done["id"] in [job["id"] for job in found]
    assert http.get("/jobs", params={"search": "%"}).json() == {"jobs": [], "next": None}
    assert_problem(http.get("/jobs", params={"search": ""}), 400, "bad-value")


def test_other_sites_cannot_have_a_browser_run_anything(
    http: httpx.Client, done: dict[str, Any]
) -> None:
    path = f"/page/parts/jobs/{done['id']}/trial?model=x"
    assert_problem(http.post(path, headers={"Origin": "https://evil.example"}), 403, "forbidden")
    assert_problem(http.post(path), 404, "unknown-upload")


def test_parts_ask_for_a_key_where_the_service_does(make_server: MakeServer) -> None:
    with make_server(access="keys").client() as http:
        assert 'id="key"' in http.get("/").text
        for path in ("/page/parts/jobs", "/page/parts/jobs/x", "/page/parts/jobs/x/curve"):
            assert_problem(http.get(path), 401, "unauthorized")
        assert_problem(http.post("/page/parts/jobs/x/trial?model=x"), 401, "unauthorized")
        assert_problem(http.post("/compress", content=b"x", headers=OCTETS), 401, "unauthorized")


def point(number: int, **data: float | None) -> Event:
    return Event(
        number, Happened("point", {"stage": "retrain", "epoch": number, "epochs": 9, **data})
    )


def test_a_curve_begins_again_with_its_job() -> None:
    assert curves.drawn([]) == ""
    first = [point(1, loss=9.0, metric=0.1), point(2, loss=8.0, metric=0.2)]
    again = [
        Event(3, Happened("started", {})),
        point(4, loss=2.0, metric=None),
        point(5, loss=1.0, metric=0.5),
    ]
    assert curves.drawn([*first, *again]) == curves.drawn(again)
    drawn = curves.drawn(again)
    assert "2 epochs" in drawn
    assert drawn.count("<figure>") == 2
    assert "<circle" in drawn  # one metric is a dot


def test_the_services_own_process_does_without_onnx_runtime() -> None:
    """50 MB, which only the processes of jobs need."""
    code = "import sparsebook_service.app, sys; sys.exit('onnxruntime' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_pages_style_changes_nothing_in_the_reports_pictures() -> None:
    """Both are on the page of a job; a rule for a class of the same name once hid the chosen point of the curve."""
    drawn = set(re.findall(r'class="([\w -]+)"', charts_drawn()))
    styled = set(re.findall(r"\.([a-z][\w-]*)", re.sub(r"\{[^}]*\}", "", page_style())))
    assert {"chosen", "met", "missed", "axis", "label", "strip"} <= drawn
    assert not styled & {name for each in drawn for name in each.split()}


def charts_drawn() -> str:
    """One of every picture."""
    points = [(2.0, 0.9, True, False), (4.0, 0.8, True, True), (8.0, 0.1, False, False)]
    found = Histogram(1.0, (1, 2), (1, 0))
    return "".join(
        [
            charts.scatter(points, "x", "y"),
            charts.lines([("a", [(0.0, 1.0), (1.0, 2.0)])], "a", "x", "y"),
            charts.histogram(found, pruned=True),
            charts.codebooks(1.0, (0.5,), (0.4,)),
            charts.distribution((1, 2), 1, "codes"),
            charts.stack([("codes", 1)], 1),
            charts.strip((1, 0), "w"),
        ]
    )


def page_style() -> str:
    return render.asset("page.css").decode()
