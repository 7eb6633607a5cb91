"""The first minutes of somebody new: an empty Debian, the README's own commands, a model of their own compressed and run.

Root makes the empty machine, with debootstrap, in a folder of its own: Debian 12 and nothing else, not even Python. Of this machine it
gets where packages come from and whom to trust. A user without rights then types what README.md says under "Ten minutes", in its order.
What is timed is every line of it. The root stays in build/first-minutes/ until the next run.
"""

import argparse
import os
import re
import resource
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.results import show, write

ROOT = Path(__file__).parents[1]
SUITE, USER, SOURCE = "bookworm", "newcomer", "/srv/sparsebook.git"
ASKED_MINUTES = 10.0
# Where this machine's packages come from, and whom it trusts: on another network these say nothing, or something else.
SOURCES = ("/etc/apt/sources.list", "/etc/apt/sources.list.d/debian.sources")
OF_THIS_NETWORK = (
    *SOURCES,
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/pip.conf",
    "/usr/local/share/ca-certificates",
)
# A namespace of its own, whose mounts and processes end with it.
ENTER = """
mount -t proc proc {root}/proc && mount --rbind /dev {root}/dev && mount --make-rslave {root}/dev
exec chroot {root} env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin su - {user} -c {line}
"""
OWN_MODEL = (
    "python3.11 -m venv ../own && ../own/bin/pip install --quiet --require-hashes "
    "-r requirements/first-minutes.lock && ../own/bin/python benchmarks/first_minutes_model.py"
)
RUN_IT = """
import numpy
answers = session.run(None, {session.get_inputs()[0].name: numpy.load("sample.npy")})
print(*(answer.shape for answer in answers))
"""


@dataclass(frozen=True)
class Step:
    """A line that the newcomer typed, `whose` it is (the README's, or their own work), and what it took by the clock."""

    line: str
    whose: str
    seconds: float


def main() -> None:
    """Make the machine, type the lines, print what they took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("build/first-minutes"))
    folder: Path = parser.parse_args().folder.absolute()
    if os.geteuid() != 0 or shutil.which("debootstrap") is None:
        sys.exit("An empty machine is made by root, with debootstrap (apt-get install debootstrap)")
    loads = [os.getloadavg()]
    root = _empty_machine(folder)
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    before = usage.ru_utime + usage.ru_stime
    steps = list(_typed(root))
    loads.append(os.getloadavg())
    total = sum(step.seconds for step in steps if step.whose == "README")
    rows = [[step.line, step.whose, f"{step.seconds:.1f}"] for step in steps]
    rows.append(
        [f"all of the README's, at most {ASKED_MINUTES:g} minutes asked", "", f"{total:.1f}"]
    )
    show("From an empty machine to a model of one's own, compressed and run", ["typed", "whose", "seconds"], rows)  # fmt: skip
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = usage.ru_utime + usage.ru_stime - before
    print(
        f"processor seconds, all lines: {cpu:.0f}; load of the last minute: {loads[0][0]:.1f} before, {loads[1][0]:.1f} after"
    )
    facts: dict[str, Any] = {
        "total_seconds": total,
        "cpu_seconds": cpu,
        "asked_minutes": ASKED_MINUTES,
        "load_before_and_after": loads,
    }
    print(f"written: {write('first-minutes', [asdict(step) for step in steps], **facts)}")


def _empty_machine(folder: Path) -> Path:
    """A fresh copy of Debian's smallest system, with the sources of the commit that is checked out here."""
    base, root = folder / "base", folder / "root"
    if not (base / "etc/debian_version").exists():
        shutil.rmtree(base, ignore_errors=True)
        base.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["debootstrap", "--variant=minbase", SUITE, base, _mirror()], check=True)
    shutil.rmtree(root, ignore_errors=True)
    subprocess.run(["cp", "--archive", base, root], check=True)
    (root / "etc/apt/sources.list").unlink(missing_ok=True)
    for place in filter(Path.exists, map(Path, OF_THIS_NETWORK)):
        into = root / place.relative_to("/")
        into.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["cp", "--recursive", "--dereference", "--no-target-directory", place, into], check=True)  # fmt: skip
    if "SSL_CERT_FILE" in os.environ:
        (root / "etc/environment").write_text("SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt\n")
    subprocess.run(["chroot", root, "useradd", "--create-home", "--shell=/bin/bash", USER], check=True)  # fmt: skip
    subprocess.run(["git", "clone", "--quiet", "--bare", ROOT, f"{root}{SOURCE}"], check=True)
    subprocess.run(["chroot", root, "chown", "--recursive", USER, SOURCE], check=True)
    return root


def _mirror() -> str:
    for place in filter(Path.exists, map(Path, SOURCES)):
        found = re.search(r"^(?:URIs:|deb)\s+(?:\[.*?\]\s+)?(\S+)", place.read_text(), re.MULTILINE)
        if found:
            return found[1]
    sys.exit(f"none of {', '.join(SOURCES)} says where Debian's packages are")


def _typed(root: Path) -> Iterator[Step]:
    """Every line, as it has been typed and has ended well."""
    setting_up, using, code = _readme()
    for line in setting_up:
        if line.startswith("apt-get "):
            quiet = line.replace("apt-get install", "apt-get install --yes --quiet=2")
            yield _step(root, "root", line, f"apt-get update --quiet=2 && {quiet}")
        elif line.startswith("git clone "):
            clone = line.replace("ADDRESS", f"file://{SOURCE}")
            yield _step(root, USER, line, clone)
        else:
            yield _step(root, USER, line, f"cd sparsebook && {line}")
    yield _step(root, USER, "train and export a model", f"cd sparsebook && {OWN_MODEL}", "own")
    # One shell: what goes on in the background does so until it ends.
    marks = [f"echo; echo @@ $EPOCHREALTIME && {line}" for line in using]
    said = _enter(root, USER, "set -e; cd sparsebook\n" + "\n".join([*marks, "echo @@ $EPOCHREALTIME; kill $!"]))  # fmt: skip
    times = [float(each) for each in re.findall(r"^@@ ([\d.]+)$", said, re.MULTILINE)]
    for line, (begun, ended) in zip(using, pairwise(times), strict=True):
        yield Step(line, "README", ended - begun)
    given = shlex.quote(code + RUN_IT)
    yield _step(root, USER, "the block of Python", f"cd sparsebook && .venv/bin/python -c {given}")


def _readme() -> tuple[list[str], list[str], str]:
    """The lines that set up, those that use, and the code that runs an artifact: the first blocks of "Ten minutes"."""
    text = (ROOT / "README.md").read_text()
    section = text[text.index("## Ten minutes") :]
    setting_up, using = re.findall(r"^```console\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)[:2]  # fmt: skip
    code = re.findall(r"^```python\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)[0]
    return _lines(setting_up), _lines(using), code


def _lines(block: str) -> list[str]:
    return [re.sub(r"\s+# .*", "", line.removeprefix("$ ")) for line in block.splitlines()]


def _step(root: Path, user: str, line: str, command: str, whose: str = "README") -> Step:
    begun = time.monotonic()
    _enter(root, user, command)
    return Step(line, whose, time.monotonic() - begun)


def _enter(root: Path, user: str, line: str) -> str:
    """What a user's command said; the benchmark ends where it fails."""
    script = ENTER.format(root=shlex.quote(str(root)), user=user, line=shlex.quote(line))
    done = subprocess.run(
        ["unshare", "--mount", "--pid", "--fork", "bash", "-euc", script],
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    print(done.stdout, end="", flush=True)
    if done.returncode != 0:
        sys.exit(f"the newcomer is stuck, exit status {done.returncode}: {line}")
    return done.stdout


if __name__ == "__main__":
    main()
