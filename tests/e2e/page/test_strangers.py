"""Who may see, and what a model that means harm can make the page do: nothing."""

import contextlib
import io
from pathlib import Path

import pytest
from onnx import ModelProto
from playwright.sync_api import Page, expect

from sparsebook_service.cli import main
from tests.e2e import models
from tests.e2e.conftest import MakeServer
from tests.e2e.page.conftest import Open
from tests.e2e.page.looks import ends, is_accessible, send
from tests.e2e.servers import Server

EVIL = '<img src=x onerror="window.harmed=1"><script>window.harmed=1</script>'


def harmful() -> bytes:
    """A model whose weights, outputs and tensors left alone have markup for names."""
    model = models.mlp(64, 256, 32)
    renamed = {"w0": EVIL, "w1": '"><svg onload=window.harmed=1>', "y": "</script><b>y</b>"}
    rename(model, renamed)
    return model.SerializeToString()


def rename(model: ModelProto, names: dict[str, str]) -> None:
    for tensor in model.graph.initializer:
        tensor.name = names.get(tensor.name, tensor.name)
    for node in model.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    for value in model.graph.output:
        value.name = names.get(value.name, value.name)


def is_unharmed(page: Page) -> None:
    assert page.evaluate("window.harmed") is None
    assert page.locator("img").count() == 0
    assert page.locator("main script, main b:text-is('y')").count() == 0


def test_markup_in_names_is_text(server: Server, open_page: Open, tmp_path: Path) -> None:
    model = tmp_path / "<img src=x onerror=window.harmed=1>.onnx"
    model.write_bytes(harmful())
    page = open_page(server)
    page.set_input_files("#files", model)
    expect(page.locator("#chosen")).to_contain_text("<img src=x")
    is_unharmed(page)
    send(page, model)
    ends(page, "succeeded")
    expect(page.locator("h1")).to_have_text(model.name)
    expect(page.locator(".sortable").first).to_contain_text(EVIL)
    expect(page.locator("[aria-label=Fidelity]")).to_contain_text("</script><b>y</b>")
    is_unharmed(page)
    with page.expect_download() as started:
        page.click("text=report.html")
    alone = tmp_path / "report.html"
    started.value.save_as(alone)
    page.goto(alone.as_uri())
    expect(page.locator(".sortable").first).to_contain_text(EVIL)
    is_unharmed(page)
    page.goto(server.url)
    expect(page.locator("table.jobs").first).to_contain_text("<img src=x")
    is_unharmed(page)


@pytest.fixture
def guarded(make_server: MakeServer) -> tuple[Server, str]:
    """A service that asks for keys, and a key."""
    server = make_server(access="keys")
    with contextlib.redirect_stdout(io.StringIO()) as said, contextlib.suppress(SystemExit):
        make_key(server.data_dir)
    return server, said.getvalue().split()[-1]


def make_key(data_dir: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "sys.argv",
            [
                "sparsebook",
                "keys",
                "create",
                "--name",
                "me",
                "--scope",
                "submit,read",
                "--data-dir",
                str(data_dir),
            ],
        )
        main()


def test_with_keys(guarded: tuple[Server, str], open_page: Open, tmp_path: Path) -> None:
    server, key = guarded
    page = open_page(server, allowed="status of 401")
    expect(page.locator("#complaints")).to_contain_text("Enter a key above")
    expect(page.locator("#jobs")).to_have_text("The jobs cannot be shown now.")
    expect(page.locator("#key-said")).to_have_text("none yet")
    is_accessible(page)
    page.fill("#key", "sb_of_somebody_else")
    page.keyboard.press("Enter")
    expect(page.locator("#complaints")).to_contain_text("not an API key of this service")
    expect(page.locator("#key-said")).to_have_text("refused")
    page.fill("#key", key)
    page.keyboard.press("Enter")
    expect(page.locator("#jobs")).to_contain_text("No jobs yet")
    expect(page.locator("#complaints")).to_have_text("")
    expect(page.locator("#key-said")).to_have_text("in use")
    (tmp_path / "tiny.onnx").write_bytes(models.small())
    job = send(page, tmp_path / "tiny.onnx")
    ends(page, "succeeded")
    assert key not in page.url + page.content()
    assert page.context.cookies() == []
    with page.expect_download() as started:
        page.click("text=Bundle")
    assert started.value.suggested_filename == f"sparsebook-{job}.zip"
    # Another tab has no key, and so sees nothing.
    other = open_page(server, f"/page/jobs/{job}", allowed="status of 401")
    expect(other.locator("#complaints")).to_contain_text("Enter a key above")
    assert "tiny.onnx" not in other.content()
