"""The proof that comes with every fix, and `--verify`."""

import json

import pytest
import torch
from conftest import SHARED_MODELS, bits
from torch import nn

X = torch.randn(1, 3, 4, 4, generator=torch.Generator().manual_seed(0))


class Minus(nn.Module):
    def forward(self, x):
        return torch.copysign(x, -0.0)


class Plus(nn.Module):
    def forward(self, x):
        return torch.copysign(x.sigmoid(), 0.0)


class BothZeros(nn.Module):
    """R3 moves the tail, with its 0.0, behind the layers, with their -0.0."""

    def __init__(self):
        super().__init__()
        self.a = nn.Conv2d(3, 4, 1)
        self.minus = Minus()
        self.b = nn.Conv2d(4, 4, 1)
        self.plus = Plus()

    def forward(self, x):
        a = self.a(x)
        tail = self.plus(a)
        return tail, self.b(self.minus(a))


def test_torch_merges_zeros_and_the_proof_knows(tool):
    model = tool.trace(BothZeros().eval(), X)
    result = tool.run(model, expect=4)
    assert "0.0 and -0.0 are both constants" in result.stderr
    assert not model.with_name("model.fqat.pt").exists()
    # The danger is real: each body says what the original's did, and torch
    # computes something else.
    fixed = tool.fix(model, "--no-prove")
    with torch.no_grad():
        before, after = torch.jit.load(str(model))(X), torch.jit.load(str(fixed))(X)
    assert bits(before[0]) != bits(after[0])
    # Which running them shows, too.
    fixed.unlink()
    result = tool.run(model, "-o", fixed, "--no-prove", "--verify", expect=4)
    assert "the output[0] differs" in result.stderr and "nothing was written" in result.stderr
    assert not fixed.exists()


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)

    def forward(self, x):
        return self.conv(x).sigmoid()


class Lookup(nn.Module):
    def __init__(self, words):
        super().__init__()
        self.embedding = nn.Embedding(words, 4)
        self.linear = nn.Linear(4, 2)

    def forward(self, words, scale):
        return self.linear(self.embedding(words)) * scale


def test_verify_makes_inputs_of_the_traced_sizes(tool):
    model = tool.trace(Net().eval(), X)
    tool.run(model, "--verify")
    # Indices are drawn small enough for the model.
    model = tool.trace(Lookup(3).eval(), (torch.tensor([[0, 2]]), torch.randn(2, 2)), "words.pt")
    result = tool.run(model, "--verify")
    assert "warning" not in result.stderr


def test_verify_takes_inputs_from_a_file(tool, tmp_path):
    model = tool.trace(Net().eval(), X)
    torch.save((torch.randn(2, 3, 8, 8),), tmp_path / "inputs.pt")
    tool.run(model, f"--verify={tmp_path / 'inputs.pt'}")
    torch.save(torch.randn(2, 3, 8, 8), tmp_path / "inputs.pt")
    tool.run(model, f"--verify={tmp_path / 'inputs.pt'}")


def test_verify_says_when_the_original_fails(tool, tmp_path):
    model = tool.trace(Net().eval(), X)
    torch.save((torch.randn(1, 5, 8, 8),), tmp_path / "inputs.pt")
    # Whoever names the inputs wants them to be run.
    result = tool.run(model, f"--verify={tmp_path / 'inputs.pt'}", expect=2)
    assert "inputs.pt: error: the original itself fails on these inputs" in result.stderr
    assert not model.with_name("model.fqat.pt").exists()


@pytest.mark.parametrize("content", [b"", b"nothing that torch wrote"])
def test_verify_refuses_what_are_no_inputs(tool, tmp_path, content):
    model = tool.trace(Net().eval(), X)
    (tmp_path / "inputs.pt").write_bytes(content)
    result = tool.run(model, f"--verify={tmp_path / 'inputs.pt'}", expect=2)
    assert "no inputs that torch.save has written" in result.stderr
    assert not model.with_name("model.fqat.pt").exists()
    result = tool.run(model, "--verify=/nowhere/inputs.pt", expect=2)
    assert "No such file" in result.stderr


def test_verify_of_a_scripted_model_needs_inputs(tool, tmp_path):
    torch.jit.script(Net().eval()).save(str(tmp_path / "model.pt"))
    result = tool.run(tmp_path / "model.pt", "--verify", expect=2)
    assert "--verify=INPUTS.pt" in result.stderr
    torch.save((X,), tmp_path / "inputs.pt")
    tool.run(tmp_path / "model.pt", f"--verify={tmp_path / 'inputs.pt'}")


def test_verify_needs_two_files(tool, tmp_path):
    model = tool.trace(Net().eval(), X)
    for arguments in (["-o", "-"], ["--emit", "mlir"], ["--check"]):
        result = tool.run(model, "--verify", *arguments, expect=2)
        assert "--verify" in result.stderr
    tool.run(model, "-o", tmp_path / "model.mlir")
    tool.run(tmp_path / "model.mlir", "-o", tmp_path / "out.pt", "--verify", expect=2)


class Countdown(nn.Module):
    """A loop of unknown length that changes an attribute and a list."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)
        self.calls = 0

    def forward(self, x, n: int):
        values = [x.sum()]
        while n > 0:
            self.calls += n
            values.append(values[-1] * 2)
            n -= 1
        y = self.conv(x)
        return y.sigmoid(), values


def test_loops_of_unknown_length_are_compared(tool, tmp_path):
    torch.jit.script(Countdown().eval()).save(str(tmp_path / "model.pt"))
    torch.save((X, 3), tmp_path / "inputs.pt")
    tool.run(tmp_path / "model.pt", f"--verify={tmp_path / 'inputs.pt'}")


@pytest.mark.skipif(not SHARED_MODELS.exists(), reason="the shared models are not here")
def test_what_is_written_is_proved_and_runs_equal(tool, tmp_path):
    """The file that is read again is proved too, so that export is judged as well."""
    failed = {}
    for path in sorted(SHARED_MODELS.glob("*.pt")):
        inputs = path.with_name(f"{path.stem}.inputs.pt")
        if not inputs.exists():
            continue
        output = tmp_path / "fixed.pt"
        try:
            tool.run(path, "-o", output, "-q", f"--verify={inputs}")
        except AssertionError as error:
            failed[path.stem] = str(error)
    assert not failed, json.dumps(failed, indent=1)
