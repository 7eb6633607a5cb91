"""A job from the drop to the report, as a person sees it."""

import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from tests.e2e import models
from tests.e2e.conftest import MakeServer
from tests.e2e.page.conftest import ROOT, Open
from tests.e2e.page.looks import comes, ends, fits, is_accessible, send
from tests.e2e.servers import Server

MAGIKA = ROOT / ".models/magika/models/standard_v3_3/model.onnx"
# What Chromium itself says of a service that is gone.
GONE = r"net::ERR_(CONNECTION|INCOMPLETE|EMPTY|SOCKET)"
Shoot = Callable[[Page, str], None]


def test_a_model_is_sent_compressed_and_fetched(
    server: Server, open_page: Open, shoot: Shoot, tmp_path: Path
) -> None:
    page = open_page(server)
    expect(page.locator("#jobs")).to_have_attribute("aria-busy", "false")
    is_accessible(page)
    shoot(page, "start")
    page.evaluate(
        """() => { window.name = ""; new MutationObserver(() => { window.name += document.getElementById("sent").value + " "; })
        .observe(document.getElementById("sent"), { attributes: true, attributeFilter: ["value"] }); }"""
    )
    send(page, MAGIKA, way="paper")
    steps = {int(step) for step in page.evaluate("window.name").split()}
    assert {0, MAGIKA.stat().st_size} < steps
    assert len(steps) > 10
    ends(page, "succeeded")
    expect(page.locator(".headline").first).to_contain_text("× smaller")
    expect(page.locator("h1")).to_have_count(1)
    for link in page.locator(".contents a").all():
        link.click()
        expect(page.locator(link.get_attribute("href") or "none")).to_be_in_viewport()
    assert page.locator("details.weight").count() == 3
    assert page.locator("details.weight[open] svg.figure").count() == 5
    is_accessible(page)
    shoot(page, "report")
    with page.expect_download() as started:
        page.click("text=Bundle")
    bundle = tmp_path / "bundle.zip"
    started.value.save_as(bundle)
    with zipfile.ZipFile(bundle) as archive:
        assert {"model.onnx", "report.html", "report.json", "manifest.json"} <= set(
            archive.namelist()
        )
        report = archive.read("report.html").decode()
    alone = tmp_path / "report.html"
    alone.write_text(report)
    # The same from the disk, which has a policy of its own.
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(alone.as_uri())
    assert asked == [alone.as_uri()]
    page.click("th:has-text('density') button")
    assert page.locator("th[aria-sort=ascending]").inner_text() == "density"
    cells = page.locator(".sortable").first.locator("tbody tr td:nth-child(4)").all_inner_texts()
    assert cells == ["9.0%", "9.0%", "35.0%"]
    is_accessible(page)


def test_inputs_alone_decide(server: Server, open_page: Open, tmp_path: Path) -> None:
    model, data = tmp_path / "tiny.onnx", tmp_path / "data.npz"
    model.write_bytes(models.small(seed=7))
    np.savez(data, **models.samples(60))
    page = open_page(server)
    job = send(page, model, data, way="small")
    ends(page, "succeeded")
    with server.client() as http:
        found = http.get(f"/jobs/{job}/report").json()
    assert found["config"]["preset"] == "small"
    assert found["calibration"]["inputs"] == "given"


def test_both_are_run(server: Server, open_page: Open, shoot: Shoot, tmp_path: Path) -> None:
    model, data = tmp_path / "tiny.onnx", tmp_path / "data.npz"
    model.write_bytes(models.small(seed=5))
    np.savez(data, **models.samples(40))
    page = open_page(server)
    job = send(page, model)
    ends(page, "succeeded")
    assert page.locator("#trial-original").is_hidden()  # this tab has sent it a moment ago
    page.set_input_files("#trial-data", data)
    page.click("button:text('Run both')")
    found = page.locator("#trial-found")
    expect(found).to_contain_text("samples")
    rows = found.locator("table.narrow tbody tr")
    expect(rows).to_have_count(8)
    original, artifact, difference = map(float, rows.first.locator("td").all_inner_texts())
    assert original != artifact
    assert artifact - original == pytest.approx(difference, abs=1e-3)
    is_accessible(page)
    shoot(page, "run-both")
    # Another tab must hand the original in, and no other model.
    other = open_page(server, f"/page/jobs/{job}", allowed="status of 4(00|22)")
    (tmp_path / "another.onnx").write_bytes(models.small(seed=6))
    other.set_input_files("#trial-model", tmp_path / "another.onnx")
    other.click("button:text('Run both')")
    expect(other.locator("#complaints")).to_contain_text("is not the model of this job")
    other.set_input_files("#trial-model", model)
    np.savez(data, y=np.zeros((3, 5), np.float32))
    other.set_input_files("#trial-data", data)
    other.click("button:text('Run both')")
    expect(other.locator("#complaints")).to_contain_text("data.npz")
    other.set_input_files("#trial-data", [])
    other.click("button:text('Run both')")
    expect(other.locator("#trial-found")).to_contain_text("made up")


def test_a_job_is_cancelled(server: Server, open_page: Open, tmp_path: Path) -> None:
    model = tmp_path / "slow.onnx"
    model.write_bytes(models.slow())
    page = open_page(server)
    send(page, model)
    page.locator("[aria-current=step]").wait_for()
    expect(page.locator("#far")).to_have_text(re.compile(r"\d+%"))
    expect(page.locator("#elapsed")).to_contain_text("so far")
    expect(page.locator("#doing")).not_to_be_empty()
    expect(page).to_have_title(re.compile(r"^\d+% slow\.onnx"))
    is_accessible(page)
    page.click("text=Cancel")
    ends(page, "cancelled")
    expect(page.locator(".job .complaint.mild")).to_contain_text("cancelled")
    page.click("text=Compress a model")
    expect(page.locator("h1")).to_have_text("Compress an ONNX model")


def test_a_job_that_fails_says_why_and_what_to_do(
    server: Server, open_page: Open, shoot: Shoot, tmp_path: Path
) -> None:
    model = tmp_path / "broken.onnx"
    model.write_bytes(models.with_nan())
    page = open_page(server)
    send(page, model)
    ends(page, "failed")
    complaint = page.locator(".job .complaint")
    expect(complaint).to_contain_text("is nan")
    expect(complaint).to_contain_text("What to do")
    is_accessible(page)
    shoot(page, "failed")
    complaint.get_by_text("What this problem is").click()
    expect(page.locator("h1")).to_have_text("A weight is not finite")
    is_accessible(page)
    page.click("text=All problem types")
    expect(page.locator("h1")).to_have_text("Problem types")
    page.click("text=API")
    expect(page.locator("h1")).to_contain_text("API")
    page.click("summary:has-text('Compress a model')")
    expect(page.locator("details[open]")).to_contain_text("idempotency-key")
    is_accessible(page)
    shoot(page, "api")


def test_what_cannot_be_sent_is_said_at_once(
    server: Server, open_page: Open, tmp_path: Path
) -> None:
    page = open_page(server)
    page.click("#go")
    expect(page.locator("#complaints")).to_contain_text("Choose a model first")
    (tmp_path / "tiny.onnx").write_bytes(models.small())
    page.set_input_files("#files", tmp_path / "tiny.onnx")
    page.check("input[value=budget]")
    page.click("#go")
    expect(page.locator("#complaints")).to_contain_text("add an .npz")
    page.locator("details.more summary").click()
    page.fill("#config", "{")
    page.click("#go")
    expect(page.locator("#config-said")).to_contain_text("No JSON")


def test_a_complaint_is_seen_wherever_the_page_is_and_can_be_closed(
    server: Server, open_page: Open
) -> None:
    page = open_page(server, width=390)
    page.set_viewport_size({"width": 390, "height": 500})
    page.locator("#go").scroll_into_view_if_needed()
    page.click("#go")
    expect(page.locator("#complaints .complaint")).to_be_in_viewport()
    fits(page)
    is_accessible(page)
    # A list that is looked up again has nothing to do with it.
    with page.expect_response("**/page/parts/jobs*"):
        page.fill("#search", "tiny")
    page.wait_for_timeout(300)
    expect(page.locator("#complaints")).to_contain_text("Choose a model first")
    page.click("#complaints button")
    expect(page.locator("#complaints")).to_be_empty()


def test_what_was_chosen_is_what_is_shown(
    server: Server, open_page: Open, shoot: Shoot, tmp_path: Path
) -> None:
    """Also on a phone, with a long name; and nothing can be chosen otherwise while it is sent."""
    model = tmp_path / f"{'a-long-name_' * 5}.onnx"
    model.write_bytes(models.slow())
    page = open_page(server, width=390)
    page.set_input_files("#files", model)
    expect(page.locator("#drop")).not_to_contain_text("No file chosen")
    expect(page.locator("#chosen")).to_contain_text(model.name)
    fits(page)
    is_accessible(page)
    shoot(page, "phone-chosen")
    page.click("#go")
    comes(page, "document.getElementById('sent').value > 2e6")
    expect(page.locator("#ways")).to_have_attribute("inert", "")
    expect(page.locator("#sending-what")).to_contain_text(re.compile(r"\d+%"))
    assert "sent" in page.title()
    page.click("#stop")
    expect(page.locator("#sending")).to_be_hidden()
    assert page.locator("#ways").get_attribute("inert") is None
    assert page.title().startswith("Compress a model")


def test_a_refusal_of_the_service_is_shown(server: Server, open_page: Open, tmp_path: Path) -> None:
    (tmp_path / "tiny.onnx").write_bytes(models.small())
    page = open_page(server, allowed="status of 400")
    page.set_input_files("#files", tmp_path / "tiny.onnx")
    page.locator("details.more summary").click()
    page.fill("#config", '{"presets": 1}')
    page.click("#go")
    expect(page.locator("#complaints")).to_contain_text("no such option")
    expect(page.locator("#go")).to_be_enabled()


def test_a_fault_of_the_page_is_shown(server: Server, open_page: Open) -> None:
    page = open_page(server, allowed="boom")
    comes(page, "document.readyState === 'complete'")  # with all that listens
    page.evaluate("setTimeout(() => { throw new Error('boom'); })")
    expect(page.locator("#complaints")).to_contain_text("boom")
    page.evaluate("Promise.reject(new Error('boom too')) && null")
    expect(page.locator("#complaints")).to_contain_text("boom too")


def test_the_service_is_killed_while_a_model_goes_up_and_while_it_is_compressed(
    make_server: MakeServer, open_page: Open, tmp_path: Path
) -> None:
    server = make_server()
    model = tmp_path / "slow.onnx"
    model.write_bytes(models.slow())
    page = open_page(server, allowed=GONE)
    page.set_input_files("#files", model)
    page.click("#go")
    comes(page, "document.getElementById('sent').value > 4e6")
    server.kill()
    expect(page.locator("#sending-said")).to_contain_text("trying again")
    server.start(again=True)
    page.wait_for_url("**/page/jobs/*")
    uploads = [name for name in server.files() if name.startswith("files/uploads/")]
    assert len(uploads) <= 1  # it went on where it was: no second one was begun
    comes(page, "document.getElementById('bar')?.value > 0.05")
    server.kill()
    expect(page.locator("#link")).to_contain_text("Trying again")
    server.start(again=True)
    ends(page, "succeeded")
    assert page.locator("#complaints").inner_text() == ""


def test_the_curve_grows_while_it_retrains(
    make_server: MakeServer, open_page: Open, shoot: Shoot, tmp_path: Path
) -> None:
    server = make_server(serve_worker=1)
    model, data = tmp_path / "tiny.onnx", tmp_path / "data.npz"
    model.write_bytes(models.small())
    np.savez(data, **models.samples(12_000))
    page = open_page(server)
    send(page, model, data, way="paper")
    page.locator("#curve svg.plot").first.wait_for()
    expect(page.locator("#now")).to_contain_text("epoch")
    is_accessible(page)
    shoot(page, "retraining")
    page.click("text=Cancel")
    ends(page, "cancelled")


@pytest.mark.parametrize("dark", [False, True])
def test_on_a_phone(
    server: Server, done: dict[str, object], open_page: Open, shoot: Shoot, dark: bool
) -> None:
    for path, name in (("/", "start"), (f"/page/jobs/{done['id']}", "report")):
        page = open_page(server, path, width=390, dark=dark)
        page.wait_for_selector("[aria-busy=false]")
        fits(page)
        is_accessible(page)
        shoot(page, f"phone-{name}-{'dark' if dark else 'light'}")


def test_the_list_finds_jobs(server: Server, done: dict[str, object], open_page: Open) -> None:
    page = open_page(server)
    page.fill("#search", "TINY")
    expect(page.locator("table.jobs tbody tr").first).to_contain_text("tiny.onnx")
    page.fill("#search", "no such model")
    expect(page.locator("#jobs")).to_contain_text("No job fits")
    page.click("text=Show all jobs")
    expect(page.locator("table.jobs tbody tr").first).to_contain_text(".onnx")
    expect(page.locator("#search")).to_be_focused()
    page.fill("#search", str(done["id"])[:12])
    expect(page.locator("table.jobs tbody tr")).to_have_count(1)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "state"


def test_it_weighs_little(server: Server, open_page: Open) -> None:
    page = open_page(server, "/healthz")
    bodies: list[int] = []
    page.on("response", lambda answer: bodies.append(len(answer.body())))
    page.goto(server.url)
    page.wait_for_selector("[aria-busy=false]")
    page.wait_for_timeout(200)
    assert len(bodies) >= 7
    assert sum(bodies) < 150_000


def test_the_keyboard_is_enough(server: Server, open_page: Open, tmp_path: Path) -> None:
    """All but the system's own window in which a file is chosen."""
    (tmp_path / "by-keyboard.onnx").write_bytes(models.small(seed=11))
    page = open_page(server)
    page.set_input_files("#files", tmp_path / "by-keyboard.onnx")
    page.focus("input[value=safe]")
    for _ in range(3):
        page.keyboard.press("ArrowDown")
    expect(page.locator("input[value=budget]")).to_be_checked()
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#drop-said")).to_have_text("0.6 percentage points")
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("ArrowDown")
    expect(page.locator("input[value=safe]")).to_be_checked()
    page.keyboard.press("Tab")
    expect(page.locator(".more summary")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#output")).to_be_visible()
    page.focus("#config")
    page.keyboard.press("Tab")
    expect(page.locator("#go")).to_be_focused()
    page.keyboard.press("Enter")
    page.wait_for_url("**/page/jobs/*")
    ends(page, "succeeded")
    head = page.locator("table.sortable").first.locator("th").first
    head.locator("button").focus()
    page.keyboard.press("Enter")
    expect(head).to_have_attribute("aria-sort", re.compile("ascending|descending"))
    weight = page.locator("details.weight").first
    weight.locator("summary").focus()
    page.keyboard.press("Enter")
    expect(weight).not_to_have_attribute("open", re.compile(".*"))
