"""The images and the compose file: no engine runs here, so they are held against their linter and their schema."""

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from sparsebook_service.settings import PREFIX, Settings

DOCKER = Path("docker")
BIN = Path(sys.executable).parent
COMPOSE: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yaml").read_text())
OWN = {name for name, one in COMPOSE["services"].items() if one["image"].startswith("sparsebook")}


@pytest.mark.parametrize("name", sorted(path.name for path in DOCKER.glob("*.Dockerfile")))
def test_dockerfiles_are_clean(name: str) -> None:
    linted = subprocess.run(
        [BIN / "hadolint", "--no-color", DOCKER / name], capture_output=True, text=True, check=False
    )
    assert (linted.returncode, linted.stdout) == (0, "")


def test_the_compose_file_meets_its_schema() -> None:
    checked = subprocess.run(
        [
            BIN / "check-jsonschema",
            "--builtin-schema=vendor.compose-spec",
            DOCKER / "compose.yaml",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_every_container_is_hardened() -> None:
    for name, one in COMPOSE["services"].items():
        assert one["read_only"] is True, name
        assert one["cap_drop"] == ["ALL"], name
        assert "no-new-privileges:true" in one["security_opt"], name
        assert not one.get("privileged"), name


def test_images_run_as_nobody_in_particular() -> None:
    for path in DOCKER.glob("*.Dockerfile"):
        last = path.read_text().split("\nFROM ")[-1]
        assert re.findall(r"^USER (.*)$", last, re.MULTILINE) == ["10001:10001"], path
        assert "VOLUME /data" in last


def test_the_service_is_served_to_key_holders() -> None:
    """On an address that others reach it would not start otherwise."""
    last = (DOCKER / "service.Dockerfile").read_text().split("\nFROM ")[-1]
    assert f"{PREFIX}ACCESS=keys" in last
    assert '"--host", "0.0.0.0"' in last
    for name in OWN:
        assert f"{PREFIX}ACCESS" not in (COMPOSE["services"][name].get("environment") or {}), name


def test_only_settings_that_exist_are_set() -> None:
    known = {f"{PREFIX}{name}".upper() for name in Settings.model_fields}
    for name in OWN:
        given = COMPOSE["services"][name].get("environment", {})
        assert {key for key in given if key.startswith(PREFIX)} <= known, name


def test_passwords_have_no_default() -> None:
    text = (DOCKER / "compose.yaml").read_text()
    for name, rest in re.findall(r"\$\{(\w+)([^}]*)\}", text):
        assert rest.startswith(":?"), f"{name} has a default or may be empty"


def test_what_containers_wait_for_is_there() -> None:
    services = COMPOSE["services"]
    for name, one in services.items():
        for other, how in one.get("depends_on", {}).items():
            assert other in services, name
            if how["condition"] == "service_healthy" and other not in OWN:
                assert "healthcheck" in services[other], f"{name} waits for {other}"


@pytest.mark.parametrize("name", sorted(OWN - {"bucket"}))
def test_commands_are_those_of_the_command_line(name: str) -> None:
    given = COMPOSE["services"][name].get("command")
    if given is None:
        dockerfile = DOCKER / Path(COMPOSE["services"][name]["build"]["dockerfile"]).name
        found = re.findall(r"^CMD (\[.*\])$", dockerfile.read_text(), re.MULTILINE)
        given = yaml.safe_load(found[-1])
    command, subcommand, *options = given
    assert command == "sparsebook"
    shown = subprocess.run(
        [BIN / command, subcommand, "--help"],
        capture_output=True,
        text=True,
        check=True,
        env={"COLUMNS": "200", "PATH": "/usr/bin:/bin"},
    )
    for option in options:
        if option.startswith("--"):
            assert option in shown.stdout, shlex.join(given)
