"""The commands of docs/pipelines/, as they stand there, against a live service."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from sparsebook_compressor import Report
from tests.e2e import models
from tests.e2e.servers import Server
from tests.e2e.test_verify import make_key

PIPELINES = Path(__file__).parents[2] / "docs/pipelines"
# What these would install is installed here already.
INSTALL = "pip install sparsebook-service"
EXPRESSION = re.compile(r"\$\{\{ vars\.(\w+) \}\}")


def github() -> tuple[dict[str, str], list[str]]:
    """The variables and the commands, each run by a `bash -e` of its own."""
    job = yaml.safe_load((PIPELINES / "github-actions.yml").read_text())["jobs"]["compress"]
    steps = [step["run"] for step in job["steps"] if "run" in step]
    return job["env"], steps


def gitlab() -> tuple[dict[str, str], list[str]]:
    job = yaml.safe_load((PIPELINES / "gitlab-ci.yml").read_text())["compress"]
    return job["variables"], [*job["before_script"], *job["script"]]


@pytest.fixture(scope="module")
def signing(make_server: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Server, str]:
    private, public = make_key(tmp_path_factory.mktemp("keys"), "service")
    return make_server(signing_key=private), public.read_text()


def run(
    pipeline: tuple[dict[str, str], list[str]], folder: Path, given: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    """Carry a pipeline out until a command fails; the last one that ran."""
    declared, commands = pipeline
    # Variables that the platform fills in come from `given`; others are as they stand in the file.
    fixed = {name: value for name, value in declared.items() if not EXPRESSION.fullmatch(value)}
    assert set(declared) - set(fixed) <= set(given)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, **fixed, **given, "PATH": path}
    assert INSTALL in commands
    for command in commands:
        if command == INSTALL:
            continue
        ended = subprocess.run(
            ["bash", "-e", "-c", command],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        if ended.returncode:
            break
    return ended


@pytest.mark.parametrize("pipeline", [github(), gitlab()], ids=["github", "gitlab"])
def test_a_pipeline_compresses_and_verifies(
    pipeline: tuple[dict[str, str], list[str]], signing: tuple[Server, str], tmp_path: Path
) -> None:
    server, public = signing
    (tmp_path / "model.onnx").write_bytes(models.small())
    given = {"SPARSEBOOK_URL": server.url, "SPARSEBOOK_PUBLIC_KEY": public, "MIN_RATIO": "2"}
    done = run(pipeline, tmp_path, given)
    assert done.returncode == 0, done.stderr
    assert "signed with the key given" in done.stdout
    report = Report.from_json((tmp_path / "report.json").read_text())
    assert report.ratio >= 2
    assert (tmp_path / "artifact/model.onnx").stat().st_size == report.artifact.bytes


@pytest.mark.parametrize("pipeline", [github(), gitlab()], ids=["github", "gitlab"])
def test_a_gate_stops_a_pipeline(
    pipeline: tuple[dict[str, str], list[str]], signing: tuple[Server, str], tmp_path: Path
) -> None:
    server, public = signing
    (tmp_path / "model.onnx").write_bytes(models.small())
    given = {"SPARSEBOOK_URL": server.url, "SPARSEBOOK_PUBLIC_KEY": public, "MIN_RATIO": "1000"}
    stopped = run(pipeline, tmp_path, given)
    assert stopped.returncode == 3
    assert "budget.min_ratio 1000" in stopped.stderr
    # What there is to look at is kept.
    assert (tmp_path / "artifact/report.json").is_file()
    assert Report.from_json((tmp_path / "report.json").read_text()).ratio < 1000


def test_both_files_are_whole() -> None:
    steps = yaml.safe_load((PIPELINES / "github-actions.yml").read_text())["jobs"]["compress"]
    keep = next(step for step in steps["steps"] if step.get("name") == "Keep")
    gitlab = yaml.safe_load((PIPELINES / "gitlab-ci.yml").read_text())["compress"]
    assert keep["if"] == gitlab["artifacts"]["when"] + "()"
    assert keep["with"]["path"].split() == gitlab["artifacts"]["paths"]
