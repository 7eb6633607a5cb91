"""What the process of the API does without, because it would be in its memory."""

import subprocess
import sys

HEAVY = ("cryptography", "numpy", "onnx", "onnxruntime", "scipy", "sklearn")


def test_the_api_imports_nothing_that_only_its_jobs_need() -> None:
    program = f"import sys, sparsebook_service.server; print([*filter(sys.modules.get, {HEAVY})])"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
