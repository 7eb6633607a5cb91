"""benchmarks/first_minutes.py finds on README.md what somebody new types; typing it takes an empty machine, and minutes."""

from benchmarks import first_minutes


def test_what_is_typed_stands_on_the_page() -> None:
    setting_up, using, code = first_minutes._readme()
    apt, clone, *make = setting_up
    assert apt.startswith("apt-get install git g++ make python3.11-venv")
    assert clone.startswith("git clone ADDRESS sparsebook")
    assert [line.split()[0] for line in make] == ["make"]
    assert all(line.startswith(".venv/bin/sparsebook ") for line in using)
    assert not any("#" in line or line.startswith("$") for line in [*setting_up, *using])
    # One line goes on in the background, and those behind it need it.
    assert [line.endswith("&") for line in using].count(True) == 1
    assert 'InferenceSession("bundle/model.onnx"' in code
    compile(code + first_minutes.RUN_IT, "README.md", "exec")
