"""The `sparsebook` command: what it prints, what it writes, how it ends."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import psutil
import pytest

from sparsebook_compressor import Config, Report, TuningReport, compress
from sparsebook_runtime import library_path, register
from tests.e2e import models
from tests.e2e.commands import Cli
from tests.e2e.servers import COMMAND, Server
from tests.e2e.trainings import SECONDS, until


def run(path: Path, inputs: dict[str, np.ndarray] | None = None) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    register(options)
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return session.run(None, inputs or models.samples())[0]


# ---------------------------------------------------------------------------------------------- commands


def test_compress_inspect_decompress(cli: Cli) -> None:
    done = cli("compress", "tiny.onnx")
    assert done.status == 0, done.err
    for expected in (
        "w0",
        "code bits",
        "Fidelity",
        "codebooks",
        "times smaller",
        "tiny-sparsebook",
        "tiny-sparsebook/report.html",
    ):
        assert expected in done.out
    bundle = cli.folder / "tiny-sparsebook"
    assert {path.name for path in bundle.iterdir()} == {
        "model.onnx",
        "manifest.json",
        "report.html",
        "report.json",
        "lib",
    }
    original = run(cli.folder / "tiny.onnx")
    compressed = run(bundle / "model.onnx")
    assert np.linalg.norm(compressed - original) < 0.1 * np.linalg.norm(original)

    listed = cli("inspect", bundle / "model.onnx")
    assert (listed.status, "centroids" in listed.out) == (0, True)
    facts = json.loads(cli("inspect", bundle / "model.onnx", "--json").out)
    assert facts["kind"] == "artifact"
    assert {row["name"] for row in facts["rows"]} == {"w0", "w1"}
    assert json.loads(cli("inspect", "tiny.onnx", "--json").out)["kind"] == "model"
    assert cli("inspect", bundle).out == listed.out
    lost = cli("inspect", bundle / "lib")
    assert (lost.status, "model.onnx does not exist" in lost.err) == (2, True)

    shown = cli("report", bundle, "-o", "again.html")
    assert (shown.status, "again.html" in shown.out) == (0, True)
    assert (cli.folder / "again.html").read_text() == (bundle / "report.html").read_text()
    refused = cli("report", "tiny.onnx")
    assert (refused.status, "does not tell" in refused.err) == (2, True)

    back = cli("decompress", bundle / "model.onnx", "-o", "plain.onnx")
    assert (back.status, "plain floats" in back.out) == (0, True)
    onnx.checker.check_model("plain.onnx")
    assert cli("decompress", bundle, "-o", "same.onnx").status == 0
    assert Path("same.onnx").read_bytes() == Path("plain.onnx").read_bytes()
    np.testing.assert_allclose(run(Path("plain.onnx")), compressed, rtol=1e-3, atol=1e-4)
    refused = cli("decompress", bundle / "model.onnx", "-o", cli.folder)
    assert (refused.status, "is a folder" in refused.err) == (2, True)


def test_compress_with_data_and_config(cli: Cli) -> None:
    np.savez(cli.folder / "samples.npz", **models.samples())
    config = {
        "preset": "paper",
        "weights": {"w1": {"bits": 3, "density": 0.5}},
        "train": {"loss": "none"},
    }
    (cli.folder / "config.json").write_text(json.dumps(config))
    done = cli(
        *("compress", "tiny.onnx", "--data", "samples.npz", "--config", "config.json"),
        *("--output", "portable", "--seed", "7", "-o", "here/out", "--json"),
    )
    assert done.status == 0, done.err
    report = Report.from_json(done.out)
    assert (report.seed, report.output, report.config["preset"]) == (7, "portable", "paper")
    assert report.fidelity.inputs == "given"
    row = next(row for row in report.weights if row.name == "w1")
    assert row.centroids <= 8
    assert row.density == pytest.approx(0.5, abs=0.01)
    assert report == Report.from_json((cli.folder / "here/out/report.json").read_text())
    assert not (cli.folder / "here/out/lib").exists()
    assert done.err == ""


def test_the_output_folder_is_never_overwritten(cli: Cli) -> None:
    (cli.folder / "out").mkdir()
    (cli.folder / "out/mine").write_text("mine")
    refused = cli("compress", "tiny.onnx", "-o", "out")
    assert refused.status == 2
    assert "not empty" in refused.err
    assert [path.name for path in (cli.folder / "out").iterdir()] == ["mine"]


def test_estimate_writes_nothing(cli: Cli) -> None:
    table = cli("estimate", "tiny.onnx", "--preset", "paper")
    assert table.status == 0, table.err
    assert "times smaller" in table.out
    assert "risk to accuracy: high" in table.out
    facts = json.loads(cli("estimate", "tiny.onnx", "--json").out)
    assert facts["ratio"] > 2
    assert facts["risk"] in {"low", "medium", "high"}
    assert cli.left() == {"tiny.onnx"}


def test_version_and_help(cli: Cli) -> None:
    assert cli("version").out == "sparsebook 0.1.0\n"
    commands = (
        "compress",
        "estimate",
        "inspect",
        "decompress",
        "serve",
        "worker",
        "tune",
        "bench",
        "report",
        "doctor",
    )
    for command in commands:
        shown = cli(command, "--help")
        assert (shown.status, "Example" in shown.out) == (0, True)
    shown = cli("--help").out
    assert "compress" in shown
    assert "doctor" in shown


def test_completion_can_be_had() -> None:
    """Of the shell that is named: which one the tests were started from says nothing."""
    command = [str(Path(sys.executable).with_name("sparsebook")), "--show-completion", "bash"]
    environment = {**os.environ, "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    shown = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (shown.returncode, "_SPARSEBOOK_COMPLETE" in shown.stdout) == (0, True)


def test_the_doctor_says_what_works_and_how_to_mend_what_does_not(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = cli("doctor", "--data-dir", "there", "--json")
    assert found.status == 0
    checks = {check["what"]: check for check in json.loads(found.out)["checks"]}
    for what in ("versions", "operator library", "compress and run a model", "data folder"):
        assert checks[what]["state"] == "ok", checks[what]
    assert "kernels of" in checks["compress and run a model"]["found"]
    assert "can be made" in checks["data folder"]["found"]
    assert cli.left() == {"tiny.onnx"}
    monkeypatch.setenv("SPARSEBOOK_TRAINER_PYTHON", "/nowhere/python")
    monkeypatch.setenv("SPARSEBOOK_MIN_FREE_BYTES", str(1 << 60))
    ill = cli("doctor", "--data-dir", "there")
    assert ill.status == 1
    assert re.search(r"^missing +fine-tuning worker: .*/nowhere/python", ill.out, re.MULTILINE)
    assert re.search(r"^broken +data folder: .*SPARSEBOOK_MIN_FREE_BYTES", ill.out, re.MULTILINE)
    assert "make .venv-trainer" in ill.out


# ------------------------------------------------------------------------------------------- exit status


@pytest.mark.parametrize(
    ("arguments", "mentions"),
    [
        (["compress"], "MODEL"),
        (["compres", "tiny.onnx"], "No such command"),
        (["compress", "tiny.onnx", "--colour", "red"], "No such option"),
        (["compress", "tiny.onnx", "--seed", "red"], "seed"),
        (["compress", "tiny.onnx", "--preset", "huge"], "preset"),
        (["compress", "tiny.onnx", "--output", "zip"], "output"),
        (["compress", "tiny.onnx", "--seed", "-1"], "seed"),
        (["compress", "none.onnx"], "does not exist"),
        (["compress", "."], "is not a file"),
        (["compress", "tiny.onnx", "--data", "none.npz"], "does not exist"),
        (["compress", "tiny.onnx", "--config", "none.json"], "none.json"),
        (["compress", "tiny.onnx", "--config", "tiny.onnx"], "not JSON"),
        (["compress", "tiny.onnx", "--server", "ftp://x"], "http://"),
        (["inspect", "none.onnx"], "does not exist"),
        (["decompress", "tiny.onnx"], "--out"),
        (["serve", "--port", "70000"], "SPARSEBOOK_PORT"),
        (["compress", "tiny.onnx", "--loss", "none.onnx"], "none.onnx"),
        (["compress", "tiny.onnx", "--metric", "none.onnx"], "none.onnx"),
        (["compress", "tiny.onnx", "--max-drop", "0.01"], "--data"),
        (["compress", "tiny.onnx", "--max-drop", "2"], "max_drop"),
        (["worker", "--queue", "nope"], "finetune"),
        (["tune", "none.onnx"], "does not exist"),
        (["tune", "tiny.onnx"], "--data"),
        (["tune", "tiny.onnx", "--data", "none.npz"], "none.npz"),
    ],
)
def test_bad_usage(cli: Cli, arguments: list[str], mentions: str) -> None:
    refused = cli(*arguments)
    assert refused.status == 2
    assert mentions in refused.err
    assert "Traceback" not in refused.err
    assert cli.left() == {"tiny.onnx"}


BAD = {
    "empty": (b"", "empty"),
    "garbage": (b"\xffnot a protobuf" * 50, "not an ONNX file"),
    "truncated": (models.small()[:-1000], "cut short"),
    "invalid graph": (models.invalid_graph(), "nowhere"),
    "external data missing": (models.pointing_at("gone.bin"), "gone.bin"),
    "external data outside": (models.pointing_at("../../etc/passwd"), "../../etc/passwd"),
    "NaN": (models.with_nan(), "w0"),
    "no weights": (models.without_weights(), "no weight"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_models(cli: Cli, case: str) -> None:
    content, mentions = BAD[case]
    (cli.folder / "tiny.onnx").write_bytes(content)
    refused = cli("compress", "tiny.onnx")
    assert refused.status == 2, refused.err
    first, advice = refused.err.splitlines()[-2:]
    assert first.startswith("error: ")
    assert mentions in first
    assert advice
    assert cli.left() == {"tiny.onnx"}


def test_bad_data(cli: Cli) -> None:
    """The detail says what to do; nothing is advised besides."""
    inputs = models.samples(40)
    cases: dict[str, tuple[list[str], dict[str, np.ndarray]]] = {
        "found 'wrong'": (["compress", "tiny.onnx"], {"wrong": np.zeros(3)}),
        "holds 99": (["compress", "tiny.onnx"], {**inputs, "labels": np.full(40, 99)}),
        "Add an array 'labels'": (["tune", "made/model.onnx"], inputs),
    }
    assert cli("compress", "tiny.onnx", "--preset", "paper", "-o", "made").status == 0
    for mentions, (command, arrays) in cases.items():
        np.savez(cli.folder / "samples.npz", **arrays)
        refused = cli(*command, "--data", "samples.npz")
        assert refused.status == 2
        last = refused.err.splitlines()[-1]
        assert last.startswith("error: samples.npz")
        assert mentions in last
    assert cli.left() == {"tiny.onnx", "samples.npz", "made"}


def test_bad_config(cli: Cli) -> None:
    for config, mentions in (
        ({"colour": 1}, "colour"),
        ({"prune": {"method": "obs"}}, "the preset 'small'"),
        ({"weights": {"*": {"density": 1.5}}}, "density"),
        ([], "object"),
    ):
        (cli.folder / "config.json").write_text(json.dumps(config))
        refused = cli("compress", "tiny.onnx", "--config", "config.json")
        assert (refused.status, mentions in refused.err) == (2, True), refused.err
        assert cli.left() == {"tiny.onnx", "config.json"}


def test_interrupt_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "slow.onnx").write_bytes(models.slow())
    process = subprocess.Popen(
        [COMMAND, "compress", "slow.onnx"], cwd=tmp_path, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob(".*")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.splitlines()[-1] == "interrupted; nothing was written"
    assert [path.name for path in tmp_path.iterdir()] == ["slow.onnx"]


@pytest.mark.parametrize("there", [False, True], ids=["here", "there"])
def test_gates(cli: Cli, server: Server, there: bool) -> None:
    where = ["--server", server.url] if there else []
    met = cli("compress", "tiny.onnx", "--min-ratio", "2", "--max-latency", "60000", *where)
    assert met.status == 0, met.err
    missed = cli("compress", "tiny.onnx", "--min-ratio", "1000", "-o", "a", "--json", *where)
    assert missed.status == 3
    assert "error: budget.min_ratio 1000: the artifact is " in missed.err
    assert json.loads(missed.out)["ratio"] > 2
    missed = cli("compress", "tiny.onnx", "--max-latency", "1e-6", "-o", "b", "--json", *where)
    assert missed.status == 3
    assert "error: budget.max_latency_ms 1e-06: an inference takes " in missed.err
    latency = json.loads(missed.out)["fidelity"]["latency"]
    assert 0 < latency["low_ms"] <= latency["median_ms"] <= latency["high_ms"]
    assert {"a", "b", "tiny-sparsebook"} <= cli.left()
    assert (cli.folder / "a/model.onnx").read_bytes() == (cli.folder / "b/model.onnx").read_bytes()
    refused = cli("compress", "tiny.onnx", "--min-ratio", "0", "-o", "c", *where)
    assert (refused.status, "budget.min_ratio" in refused.err) == (2, True)


# ------------------------------------------------------------------------------------------- with a server


def test_compress_on_a_server(cli: Cli, server: Server) -> None:
    done = cli("compress", "tiny.onnx", "--server", server.url, "--json")
    assert done.status == 0, done.err
    bundle = cli.folder / "tiny-sparsebook"
    report = Report.from_json(done.out)
    assert report.input.name == "tiny.onnx"
    local = cli("compress", "tiny.onnx", "-o", "local", "--json")
    assert Report.from_json(local.out).artifact == report.artifact
    assert (bundle / "model.onnx").read_bytes() == (cli.folder / "local/model.onnx").read_bytes()
    assert list((bundle / "lib").rglob("libsparsebook*"))


def test_external_data_goes_to_the_server_too(cli: Cli, server: Server) -> None:
    path = models.with_external(cli.folder)
    done = cli("compress", path.name, "--server", server.url)
    assert done.status == 0, done.err
    assert "times smaller" in done.out
    (cli.folder / "weights.bin").unlink()
    refused = cli("compress", path.name, "--server", server.url, "-o", "again")
    assert (refused.status, "weights.bin" in refused.err) == (2, True)
    packed = cli.folder / "packed.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        archive.write(path, "model.onnx")
    refused = cli("compress", "packed.zip", "--server", server.url, "-o", "again")
    assert refused.status == 2
    assert "weights.bin" in refused.err
    assert not (cli.folder / "again").exists()


def test_the_servers_problems_end_the_command(cli: Cli, server: Server) -> None:
    (cli.folder / "tiny.onnx").write_bytes(models.with_nan())
    failed = cli("compress", "tiny.onnx", "--server", server.url)
    assert failed.status == 2
    assert "w0" in failed.err
    assert "Traceback" not in failed.err
    (cli.folder / "tiny.onnx").write_bytes(models.small())
    unreachable = cli("compress", "tiny.onnx", "--server", "http://127.0.0.1:9", "--patience", "5")
    assert unreachable.status == 1
    assert "trying again in" in unreachable.err
    assert "sparsebook serve" in unreachable.err
    assert cli.left() == {"tiny.onnx"}


def test_two_servers_share_neither_folder_nor_port(cli: Cli, server: Server) -> None:
    second = cli("serve", "--port", "0", "--data-dir", server.data_dir)
    assert second.status == 2
    assert "another server works in the data folder" in second.err
    port = server.url.rsplit(":", 1)[1]
    taken = cli("serve", "--port", port, "--data-dir", "other")
    assert taken.status == 2
    assert "cannot listen" in taken.err
    assert cli.left() == {"tiny.onnx"}


# ------------------------------------------------------------------------------------------- fine-tuning

COARSE = {
    "preset": "paper",
    "prune": {"rounds": 1},
    "train": {"epochs": 1, "batch_size": 16},
    "weights": {"*": {"density": 0.1, "bits": 1}},
}


@pytest.fixture
def data(cli: Cli) -> list[str]:
    """Options that give a model two files of data; the config is beside them."""
    for number in range(2):
        np.savez(cli.folder / f"{number}.npz", **models.samples(200, seed=number))
    (cli.folder / "coarse.json").write_text(json.dumps(COARSE))
    return ["--data", "0.npz", "--data", "1.npz", "--config", "coarse.json"]


def test_fine_tuning_here(cli: Cli, data: list[str]) -> None:
    done = cli("compress", "tiny.onnx", *data)
    assert done.status == 0, done.err
    for expected in ("Metric on the test part", "retrained", "Trainings", "tune 1", "loss: "):
        assert expected in done.out
    # Without a terminal there are lines instead of a bar.
    stages = [line.split()[2] for line in done.err.splitlines()]
    assert stages[:3] == ["admit", "survey", "plan"]
    assert {"retrain", "share", "tune", "verify"} <= set(stages)
    report = Report.from_json((cli.folder / "tiny-sparsebook/report.json").read_text())
    assert report.training is not None
    assert cli.left() == {"tiny.onnx", "0.npz", "1.npz", "coarse.json", "tiny-sparsebook"}


def test_json_alone_is_said_to_nobody_else(cli: Cli, data: list[str]) -> None:
    done = cli("compress", "tiny.onnx", *data, "--json")
    assert (done.status, done.err) == (0, "")


@pytest.mark.parametrize("asked", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_job_without_a_worker_says_that_it_waits_and_ends_with_the_command(
    cli: Cli, data: list[str], server: Server, asked: signal.Signals
) -> None:
    before = cli.left()
    log = cli.folder / "log"
    with log.open("w") as stderr:
        process = subprocess.Popen(
            [COMMAND, "compress", "tiny.onnx", *data, "--server", server.url], stderr=stderr
        )
    try:
        until(lambda: "none is running" in log.read_text(), "the command says what it waits for")
        process.send_signal(asked)
        assert process.wait(SECONDS) == 128 + asked
    finally:
        process.kill()
    job_id = log.read_text().split()[1]  # job ID at URL
    with server.client() as http:
        assert http.get(f"/jobs/{job_id}").json()["state"] == "cancelled"
    assert cli.left() == before | {"log"}


def test_an_artifact_is_tuned_later(cli: Cli, data: list[str]) -> None:
    made = cli("compress", "tiny.onnx", "--preset", "paper", "-o", "made")
    assert made.status == 0, made.err
    inputs = models.samples(300)
    labels = np.argmax(run(cli.folder / "tiny.onnx", inputs), axis=-1)
    np.savez(cli.folder / "labelled.npz", **inputs, labels=labels)
    options = ["--data", "labelled.npz", "--epochs", "3", "--learning-rate", "0.01"]
    tuned = cli("tune", "made/model.onnx", *options)
    assert tuned.status == 0, tuned.err
    for expected in ("centroids went", "w0", "tune 1", "made-tuned", "metric"):
        assert expected in tuned.out
    assert (cli.folder / "made-tuned/model.onnx").stat().st_size == (
        cli.folder / "made/model.onnx"
    ).stat().st_size
    again = cli("tune", "made/model.onnx", *options, "-o", "again", "--json")
    report = TuningReport.from_json(again.out)
    assert report.config["train"] == {"epochs": 3, "learning_rate": 0.01}
    assert {row.name for row in report.drift} == {"w0", "w1"}
    assert (cli.folder / "again/model.onnx").read_bytes() == (
        cli.folder / "made-tuned/model.onnx"
    ).read_bytes()


@pytest.fixture(scope="session")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What `tune` is given, by kind."""
    folder = tmp_path_factory.mktemp("artifacts")
    (folder / "tiny.onnx").write_bytes(models.small())
    made = {"plain model": models.small(), "no model": b"\xffnot a protobuf" * 50}
    for output in ("operator", "portable", "dense"):
        compress(
            folder / "tiny.onnx",
            folder / output,
            Config.parse({"output": output}),
            operator_library=library_path(),
        )
        made[output] = (folder / output / "model.onnx").read_bytes()
    made["cut short"] = made["operator"][:-100]
    damaged = bytearray(made["operator"])
    damaged[len(damaged) // 2] ^= 0xFF
    made["damaged"] = bytes(damaged)
    return made


@pytest.mark.parametrize(
    ("kind", "mentions"),
    [
        ("plain model", "it is a plain model"),
        ("dense", "an artifact whose output is 'dense'"),
        ("no model", "not an ONNX file"),
        ("cut short", "cut short"),
        ("damaged", "checksum"),
    ],
)
def test_what_cannot_be_tuned(
    cli: Cli, data: list[str], artifacts: dict[str, bytes], kind: str, mentions: str
) -> None:
    (cli.folder / "tiny.onnx").write_bytes(artifacts[kind])
    before = cli.left()
    refused = cli("tune", "tiny.onnx", *data[:4])
    assert refused.status == 2, refused.err
    assert mentions in refused.err
    assert "Traceback" not in refused.err
    assert cli.left() == before


@pytest.mark.parametrize("kind", ["operator", "portable"])
def test_an_artifact_is_tuned_not_compressed_again(
    cli: Cli, server: Server, artifacts: dict[str, bytes], kind: str
) -> None:
    (cli.folder / "tiny.onnx").write_bytes(artifacts[kind])
    for arguments in (["estimate"], ["compress"], ["compress", "--server", server.url]):
        refused = cli(arguments[0], "tiny.onnx", *arguments[1:])
        assert refused.status == 2, refused.err
        assert "sparsebook tune tiny.onnx" in refused.err
        assert cli.left() == {"tiny.onnx"}


def test_tuning_is_not_offered_on_a_server(cli: Cli, data: list[str]) -> None:
    refused = cli("tune", "tiny.onnx", *data[:4], "--server", "http://127.0.0.1:9")
    assert refused.status == 2
    assert "No such option" in refused.err


@pytest.mark.parametrize("there", [False, True])
def test_a_budget_that_cannot_be_met(
    cli: Cli, data: list[str], make_server: Any, there: bool
) -> None:
    config = {key: value for key, value in COARSE.items() if key != "prune"}
    (cli.folder / "coarse.json").write_text(json.dumps(config))
    where = ["--server", make_server(serve_worker=1).url] if there else []
    ended = cli("compress", "tiny.onnx", *data, "--max-drop", "0", "-o", "best", "--json", *where)
    assert ended.status == 3, ended.err
    assert "error: " in ended.err
    assert Report.from_json(ended.out).config["budget"] == {"max_drop": 0}
    # The best that was found is there, and runs.
    assert run(cli.folder / "best/model.onnx").shape == run(cli.folder / "tiny.onnx").shape


@pytest.mark.parametrize("there", [False, True])
def test_a_training_that_diverges(cli: Cli, data: list[str], make_server: Any, there: bool) -> None:
    np.savez(cli.folder / "0.npz", x=models.samples(200)["x"] * np.float32(1e18))
    (cli.folder / "1.npz").unlink()
    where = ["--server", make_server(serve_worker=1).url] if there else []
    ended = cli("compress", "tiny.onnx", "--data", "0.npz", *data[4:], *where, "-o", "best")
    assert ended.status == 1, ended.err
    assert "the loss was not finite in the first epoch" in ended.err
    assert "times smaller" in ended.out
    # The last good state is there, and runs.
    assert run(cli.folder / "best/model.onnx").shape == run(cli.folder / "tiny.onnx").shape


@pytest.mark.parametrize("asked", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupt_ends_the_trainer(cli: Cli, data: list[str], asked: signal.Signals) -> None:
    endless = {**COARSE, "train": {"epochs": 100_000, "batch_size": 16}}
    (cli.folder / "coarse.json").write_text(json.dumps(endless))
    before = cli.left()
    with subprocess.Popen(
        [COMMAND, "compress", "tiny.onnx", *data], stderr=subprocess.PIPE, text=True
    ) as process:
        until(lambda: list(cli.folder.glob(".*/**/work/checkpoint-*")), "a checkpoint")
        trainers = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(asked)
        try:
            _, err = process.communicate(timeout=SECONDS)
        finally:
            process.kill()
    assert process.returncode == 128 + asked
    assert err.splitlines()[-1] == "interrupted; nothing was written"
    for trainer in trainers:
        trainer.wait(timeout=SECONDS)
    assert cli.left() == before


def test_a_hangup_that_nobody_is_to_hear(cli: Cli, data: list[str]) -> None:
    """As under `nohup`; and a second signal does not cut short what the first one has begun."""
    endless = {**COARSE, "train": {"epochs": 100_000, "batch_size": 16}}
    (cli.folder / "coarse.json").write_text(json.dumps(endless))
    before = cli.left()
    with subprocess.Popen(
        ["/usr/bin/env", "nohup", COMMAND, "compress", "tiny.onnx", *data],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        until(lambda: psutil.Process(process.pid).children(recursive=True), "the trainer starts")
        try:
            process.send_signal(signal.SIGHUP)
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(1)
            process.send_signal(signal.SIGTERM)
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=SECONDS)
        finally:
            process.kill()
    assert process.returncode == 128 + signal.SIGTERM
    assert cli.left() == before


def test_a_killed_trainer_is_started_again(cli: Cli) -> None:
    """It goes on after its last checkpoint, and the artifact is what it would have been."""
    np.savez(cli.folder / "data.npz", **models.samples(6000))
    longer = {**COARSE, "train": {"epochs": 30, "batch_size": 16}}
    (cli.folder / "longer.json").write_text(json.dumps(longer))
    arguments = ["compress", "tiny.onnx", "--data", "data.npz", "--config", "longer.json"]
    undisturbed = cli(*arguments, "-o", "undisturbed")
    assert undisturbed.status == 0, undisturbed.err
    with subprocess.Popen(
        [COMMAND, *arguments, "-o", "disturbed"], stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            until(lambda: list(cli.folder.glob(".*/**/work/checkpoint-*")), "a checkpoint")
            (trainer,) = psutil.Process(process.pid).children(recursive=True)
            trainer.kill()
            _, err = process.communicate(timeout=SECONDS)
        finally:
            process.kill()
    assert process.returncode == 0, err
    first, second = (cli.folder / name / "model.onnx" for name in ("undisturbed", "disturbed"))
    assert first.read_bytes() == second.read_bytes()


def test_without_the_trainers_environment(
    cli: Cli, data: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPARSEBOOK_TRAINER_PYTHON", "nowhere/python")
    refused = cli("worker", "--data-dir", "data")
    assert refused.status == 1
    assert "nowhere/python" in refused.err
    refused = cli("compress", "tiny.onnx", *data, "--max-drop", "0.1")
    assert refused.status == 2
    assert "fine-tuning worker" in refused.err
    assert "nowhere/python; make its environment" in refused.err
    assert refused.err.splitlines()[-1].startswith(
        "error: budget.max_drop needs the fine-tuning worker"
    )
    made = cli("compress", "tiny.onnx", "--preset", "paper", "-o", "made")
    assert made.status == 0, made.err
    refused = cli("tune", "made/model.onnx", *data)
    assert refused.status == 2
    assert refused.err.splitlines()[-1].startswith("error: tuning needs the fine-tuning worker")
    assert "`make .venv-trainer`" in refused.err
    monkeypatch.setenv("SPARSEBOOK_TRAINER_PYTHON", sys.executable)
    refused = cli("compress", "tiny.onnx", *data, "--max-drop", "0.1")
    assert refused.status == 2
    assert f"{sys.executable} cannot run sparsebook_training" in refused.err
    assert cli.left() == {"tiny.onnx", "0.npz", "1.npz", "coarse.json", "made"}
