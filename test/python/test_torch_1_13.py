"""What torch 1.13 loads and runs before the fix, it loads and runs after it, to the same bits."""

import json
import subprocess
from pathlib import Path

import pytest
from test_shared_models import MODELS, NOTHING

SYSTEM_PYTHON = "/usr/bin/python3"


class Worker:
    def __init__(self) -> None:
        script = Path(__file__).with_name("torch_1_13_worker.py")
        self.process = subprocess.Popen(
            [SYSTEM_PYTHON, "-W", "ignore", script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        version = self.process.stdout.readline()
        self.version = json.loads(version) if version else None

    def run(self, files: list[Path], inputs: Path) -> list:
        request = {"files": [str(file) for file in files], "inputs": str(inputs)}
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


@pytest.fixture(scope="module")
def worker():
    made = Worker()
    if not (made.version or "").startswith("1.13"):
        pytest.skip(f"{SYSTEM_PYTHON} has no torch 1.13 (Debian's python3-torch)")
    yield made
    made.process.stdin.close()
    made.process.wait(timeout=60)


@pytest.mark.parametrize("model", [pytest.param(path, id=path.stem) for path in MODELS])
def test_runs(tool, worker, tmp_path, model):
    outputs = [tmp_path / "same.pt", tmp_path / "fixed.pt"]
    tool.run(model, "-o", outputs[0], NOTHING)
    tool.run(model, "-o", outputs[1])
    before, *after = worker.run([model, *outputs], model.with_suffix(".inputs.pt"))
    assert before is None, f"the original does not run there: {before}"
    assert after == [None] * len(outputs)
