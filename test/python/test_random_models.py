"""Random models obey the rules after a fix, and compute the same bits: `make fuzz-models`."""

import importlib.util
import os
import subprocess
from collections import Counter
from pathlib import Path

import rules
import torch
from conftest import assert_equivalent, records
from hypothesis import HealthCheck, given, seed, settings
from random_models import Model, models

NUM_MODELS = int(os.environ.get("FQAT_FUZZ_MODELS", "100"))
SEED = int(os.environ.get("FQAT_FUZZ_SEED", "0"))
# Of the models that torch itself takes, so many may be refused: an in-place write on a nop's copy
# and the like. Each is one more question to the tool.
MAX_REFUSED = 0.1


def load(model: Model, folder: Path):
    """Runs the text of a model, which torch.jit.script reads from the file again."""
    path = folder / "drawn_model.py"
    path.write_text(model.source())
    spec = importlib.util.spec_from_file_location(f"drawn_{abs(hash(model.source()))}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    torch.manual_seed(0)
    return module.Net().eval(), module.inputs()


def save(model: Model, folder: Path):
    """Saves a model as TorchScript; returns the file and its inputs, or None if torch refuses."""
    path = folder / "drawn.pt"
    net, inputs = load(model, folder)
    try:
        with torch.no_grad():
            if model.scripted:
                made = torch.jit.script(net)
            else:
                made = torch.jit.trace(net, inputs, strict=False, check_trace=False)
            made.save(str(path))
            torch.jit.load(str(path))(*(value.clone() for value in inputs))
    except (RuntimeError, torch.jit.frontend.NotSupportedError):
        return None
    return path, inputs


def check(tool, path: Path, inputs) -> str:
    """Fixes one model and asserts that the result is right; returns what came of it."""
    fixed = path.with_name("drawn.fixed.pt")
    fixed.unlink(missing_ok=True)
    result = subprocess.run(
        [tool.program, path, "-o", fixed, "-q"], capture_output=True, text=True, timeout=300
    )
    if result.returncode == 3:
        assert "error:" in result.stderr
        assert not fixed.exists()
        return "refused"
    assert result.returncode == 0, f"exit {result.returncode}\n{result.stderr}"
    assert not rules.check(fixed), "\n".join(map(str, rules.check(fixed)))
    assert_equivalent(path, fixed, inputs)
    tool.run("--check", fixed)
    assert records(tool.fix(fixed)) == records(fixed), "fixing a fixed file changes it"
    return "fixed"


def test_random_models(tool):
    outcomes: Counter = Counter()

    @seed(SEED)
    @settings(
        max_examples=NUM_MODELS,
        deadline=None,
        database=None,
        print_blob=False,
        suppress_health_check=list(HealthCheck),
    )
    @given(models())
    def run(model):
        saved = save(model, tool.folder)
        outcomes[check(tool, *saved) if saved else "not taken by torch"] += 1

    run()
    print(f"\nrandom models, seed {SEED}: {dict(outcomes)}")
    taken = outcomes["fixed"] + outcomes["refused"]
    assert outcomes["refused"] <= MAX_REFUSED * taken, outcomes
    assert taken >= 0.9 * NUM_MODELS, outcomes
