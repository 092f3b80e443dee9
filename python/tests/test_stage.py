"""prepare, fix and check: what goes in stays as it was, what comes out computes the same bits."""

import copy
import os
import pickle
import random
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import pytest
import torch
from conftest import PROGRAM, KitConv, difference
from torch import Tensor, nn

import fqat

pytestmark = pytest.mark.skipif(not PROGRAM, reason="FQAT_OPT does not name the program")
X = torch.randn(2, 3, 6, 8, generator=torch.Generator().manual_seed(0))


class Net(nn.Module):
    """One of each: batch norm, dropout, buffers that last and that do not."""

    def __init__(self) -> None:
        super().__init__()
        layers = [nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Dropout(0.3)]
        self.body, self.head = nn.Sequential(*layers), nn.Conv2d(4, 2, 1)
        self.register_buffer("scale", torch.full((2, 1, 1), 2.0))
        self.register_buffer("shift", torch.ones(2, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x)) * self.scale + self.shift


class Shared(nn.Module):
    """A model in which one object is called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.body = nn.Conv2d(3, 2, 1), nn.Conv2d(2, 2, 1)
        self.inner = Inner()

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(self.body(self.inner(self.body(self.stem(x)))))


class Inner(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 1)
        self.register_buffer("shift", torch.ones(2, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x) + self.shift


@pytest.fixture
def model() -> Net:
    torch.manual_seed(0)
    return Net().eval()


def run(model: nn.Module, inputs: Any = X) -> Any:
    torch.manual_seed(0)
    with torch.no_grad():
        return copy.deepcopy(model)(*(inputs if isinstance(inputs, tuple) else (inputs,)))


def describe(model: nn.Module) -> Tuple[List[Any], ...]:
    """All that is to be kept of a model."""
    return (
        [(name, module.training) for name, module in model.named_modules()],
        [(name, p.requires_grad, p.dtype, p.device) for name, p in model.named_parameters()],
        [(name, b.dtype, b.device) for name, b in model.named_buffers()],
        [(name, value.tolist()) for name, value in model.state_dict().items()],
    )


# prepare ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["ops", "fx"])
@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
def test_prepared_model(model: Net, training: bool, mode: str) -> None:
    model.train(training)
    prepared = fqat.prepare(model, X, mode=mode)
    assert difference(run(model), run(prepared)) is None
    assert list(prepared.state_dict()) == list(model.state_dict())
    assert prepared.fqat_groups == [("body.0", "body.1", "body.2"), ("head", None, None)]
    assert not fqat.check(prepared, X)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
def test_state_is_kept(model: Net, dtype: torch.dtype) -> None:
    model.train().to(dtype)
    model.body[1].eval()
    model.head.weight.requires_grad_(False)
    model.body[0].requires_grad_(False)
    prepared = fqat.prepare(model, X.to(dtype))
    for before, after in zip(describe(model), describe(prepared)):
        assert [fact for fact in after if fact[0] in {name for name, *_ in before}] == before


def test_original_is_untouched() -> None:
    class Counting(Net):
        def __init__(self) -> None:
            super().__init__()
            self.calls = 0
            self.register_buffer("count", torch.zeros(1))

        def forward(self, x: Tensor) -> Tensor:
            self.calls += 1
            self.last = x
            self.count += 1
            x.mul_(1)
            return super().forward(x) + self.count + random.random()

    model = Counting().train()
    inputs = X.clone().requires_grad_()
    parameters = [id(p) for p in model.parameters()]
    before = describe(model), copy.deepcopy(inputs), torch.get_rng_state(), random.getstate()
    prepared = fqat.prepare(model, inputs, nop=nn.Identity)
    after = describe(model), inputs, torch.get_rng_state(), random.getstate()
    assert difference(before, after) is None
    assert model.calls == 0 and not hasattr(model, "last")
    assert [id(p) for p in model.parameters()] == parameters
    assert torch.is_grad_enabled()
    memory = {t.data_ptr() for t in model.state_dict().values()}
    assert not memory & {t.data_ptr() for t in prepared.state_dict().values()}
    assert prepared.count.item() == 0


def test_buffers_that_do_not_last() -> None:
    torch.manual_seed(0)
    model = Shared().eval()
    prepared = fqat.prepare(model, X)
    added = [name for name in prepared.state_dict() if name not in model.state_dict()]
    assert added == ["body1.weight", "body1.bias", "inner1.conv.weight", "inner1.conv.bias"]
    assert {"inner.shift", "inner1.shift"} <= {name for name, _ in prepared.named_buffers()}
    shared = fqat.prepare(model, X, clone_params="share")
    assert shared.body.weight is shared.body1.weight
    assert difference(run(model), run(shared)) is None


@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
def test_prepared_model_trains(model: Net, training: bool) -> None:
    prepared = fqat.prepare(model.train(training), X).train()
    optimizer = torch.optim.SGD(prepared.parameters(), 0.01)
    losses = []
    for _ in range(8):
        torch.manual_seed(0)
        loss = prepared(X).pow(2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert all(p.grad is not None for p in prepared.parameters())
    assert losses[-1] < 0.8 * losses[0]
    assert prepared.body[1].num_batches_tracked.item() == 8


def test_transformers_train() -> None:
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True).eval()
    prepared = fqat.prepare(layer, torch.randn(2, 5, 8)).train()
    prepared(torch.randn(2, 5, 8)).sum().backward()
    assert all(p.grad is not None for p in prepared.parameters())


class KitNop(nn.Identity):
    pass


def test_factories(model: Net, tmp_path: Path) -> None:
    bits = {"*": {"feature": 8, "weight": 8}, "head": {"weight": 4}}
    path = tmp_path / "bits.yaml"
    path.write_text('"*": {feature: 8, weight: 8}\nhead: {weight: 4}\n')
    given: List[Any] = [bits, str(path), path]
    for each in given:
        prepared = fqat.prepare(model, X, ops={"Conv2d": KitConv}, nop=KitNop, bits=each)
        assert prepared.body[0].bits == (8, 8) and prepared.head.bits == (8, 4)
        assert sum(isinstance(module, KitNop) for module in prepared.modules()) == 1
        assert difference(run(model), run(prepared)) is None
        assert not prepared.training and prepared.body[0].range.device == X.device


def test_factories_that_do_not_fit(model: Net) -> None:
    with pytest.raises(ValueError, match="Conv2D"):
        fqat.prepare(model, X, ops={"Conv2D": KitConv})
    with pytest.raises(fqat.FqatError, match="head.weight"):
        fqat.prepare(model, X, ops={"Conv2d": lambda *_, **__: nn.Identity()})


def test_excluded_layers(model: Net) -> None:
    assert fqat.prepare(model, X, exclude="head").fqat_groups == [("body.0", "body.1", "body.2")]
    assert fqat.prepare(model, X, exclude=["head", "body.*"]).fqat_groups == []


def test_folder(model: Net, tmp_path: Path) -> None:
    for folder in (str(tmp_path / "net"), tmp_path / "net"):
        fqat.prepare(model, X, folder=folder)
    assert {"__init__.py", "model.py", "weights.pt"} <= set(os.listdir(tmp_path / "net"))
    (tmp_path / "net" / "mine.txt").write_text("mine")
    with pytest.raises(fqat.FqatError, match="mine.txt"):
        fqat.prepare(model, X, folder=tmp_path / "net")


def test_copies_of_the_prepared_model(model: Net) -> None:
    prepared = fqat.prepare(model, X)
    assert difference(run(model), run(copy.deepcopy(prepared))) is None
    assert difference(run(model), run(pickle.loads(pickle.dumps(prepared)))) is None
    again = fqat.prepare(prepared, X)
    assert list(again.state_dict()) == list(prepared.state_dict())
    assert [name for name, _ in again.named_modules()] == [n for n, _ in prepared.named_modules()]


class Structured(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 1)

    def forward(self, x: Dict[str, Tensor], scale: Optional[Tensor] = None) -> Any:
        y = self.conv(x["b"] + x["a"])
        return {"y": y if scale is None else y * scale, "x": x["a"]}


@pytest.mark.parametrize(
    "inputs",
    [{"a": X, "b": X}, ({"a": X, "b": X},), [{"a": X, "b": X}], ({"a": X, "b": X}, torch.ones(1))],
    ids=["dict", "tuple", "list", "both"],
)
def test_inputs_and_results_with_structure(inputs: Any) -> None:
    model = Structured().eval()
    prepared = fqat.prepare(model, inputs)
    arguments = (inputs,) if isinstance(inputs, dict) else tuple(inputs)
    assert difference(run(model, arguments), run(prepared, arguments)) is None


def test_other_sizes(model: Net) -> None:
    prepared, other = fqat.prepare(model, X), torch.randn(5, 3, 12, 16)
    assert difference(run(model, other), run(prepared, other)) is None


def test_progress(model: Net, capsys: pytest.CaptureFixture[str]) -> None:
    fqat.prepare(model, X)
    assert capsys.readouterr().err == ""
    fqat.prepare(model, X, progress=True)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 5
    for i, line in enumerate(lines):
        assert line.startswith("fqat: [{}/5] ".format(i + 1))


# What cannot be prepared --------------------------------------------------------------------------


class Counter(nn.Module):
    """Computes something else each time, in a way that no state of the model tells."""

    calls = 0

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        Counter.calls += 1
        return self.conv(x) * Counter.calls


class Size(Counter):
    def forward(self, x: Tensor) -> Any:
        return self.conv(x), x.size(0)


class Nothing(Counter):
    def forward(self, x: Tensor) -> Any:
        return self.conv(x), None


@torch.jit.script
def double_if_positive(x: Tensor) -> Tensor:
    if bool(x.sum() > 0):
        x = x * 2
    return x


class ControlFlow(Counter):
    def forward(self, x: Tensor) -> Tensor:
        return double_if_positive(self.conv(x))


class Strange(nn.Module):
    """A layer whose out_nop would be in the middle of the body."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.conv = nn.BatchNorm2d(3), nn.Conv2d(3, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(self.norm(x)))


@pytest.mark.parametrize(
    ("model", "text"),
    [(Counter, "output 0 differs"), (Size, "output 1"), (Nothing, "cannot be traced")],
)
def test_what_a_trace_does_not_tell(model: Any, text: str) -> None:
    with pytest.raises(fqat.FqatError, match=text):
        fqat.prepare(model().eval(), X)


def test_modes(monkeypatch: pytest.MonkeyPatch, model: Net) -> None:
    with pytest.raises(ValueError, match="'ops' or 'fx'"):
        fqat.prepare(model, X, mode="eager")
    assert fqat.prepare(ControlFlow().eval(), X) is not None
    with pytest.raises(fqat.FqatError, match="torch.fx cannot trace"):
        fqat.prepare(ControlFlow().eval(), X, mode="fx")
    monkeypatch.setattr(torch, "__version__", "1.7.1+cpu")
    with pytest.raises(fqat.FqatError, match="1.8 or later.*1.7.1"):
        fqat.prepare(model, X, mode="fx")
    monkeypatch.setattr(torch, "__version__", "1.5.0")
    with pytest.warns(UserWarning, match="1.6 or later"):
        fqat.prepare(model, X)


def test_model_that_cannot_be_fixed() -> None:
    # Norms in training write their state: called twice, there is no copy with the same end.
    with pytest.raises(fqat.FqatError, match="norm") as caught:
        fqat.prepare(Strange().train(), X)
    assert caught.value.exit_code == 3


def test_errors_of_the_caller(model: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TypeError, match="fqat.fix"):
        fqat.prepare(torch.jit.script(model), X)
    with pytest.raises(fqat.FqatError, match="bits are 4, 8, 10 or 12"):
        fqat.prepare(model, X, bits={"*": {"feature": 7}})
    with pytest.raises(fqat.FqatError, match="nop-instances"):
        fqat.prepare(model, X, nop_instances="some")
    with pytest.raises(fqat.FqatError, match="no program"):
        fqat.prepare(model, X, fqat_opt="no/such/program")


# fix and check ------------------------------------------------------------------------------------


@pytest.fixture
def script_file(model: Net, tmp_path: Path) -> Path:
    path = tmp_path / "model.pt"
    torch.jit.trace(model, X).save(str(path))
    return path


def test_fix(model: Net, script_file: Path, tmp_path: Path) -> None:
    output = tmp_path / "fixed.pt"
    fixed = [
        fqat.fix(model, X),
        fqat.fix(script_file),
        fqat.fix(str(script_file), output=output),
        fqat.fix(torch.jit.load(str(script_file)), bits={"*": {"feature": 8}}),
        fqat.fix(torch.jit.script(model)),
        torch.jit.load(str(output)),
    ]
    for each in fixed:
        assert isinstance(each, torch.jit.ScriptModule)
        torch.manual_seed(0)
        assert difference(run(model), each(X)) is None
        assert not fqat.check(each)
    assert [(f.rule, f.instance) for f in fqat.check(model, X)] == [("R1", "head")]


def test_check(model: Net, script_file: Path) -> None:
    found = [
        fqat.check(model, X),
        fqat.check(script_file),
        fqat.check(str(script_file)),
        fqat.check(torch.jit.load(str(script_file))),
    ]
    for findings in found:
        (finding,) = findings
        assert isinstance(finding, fqat.Finding)
        assert (finding.rule, finding.severity, finding.instance) == ("R1", "error", "head")
        assert finding.message and finding.remedy
    assert not fqat.check(model, X, exclude="*")
    assert not fqat.check(model, X, exclude=["head", "body.0"])


def test_check_of_a_live_model_finds_more() -> None:
    model = Shared().eval()
    model.forward = model.forward  # on the instance
    rules = {(finding.rule, finding.severity) for finding in fqat.check(model, X)}
    assert {("R1", "error"), ("R4", "error"), ("R5", "error")} <= rules


def test_errors_of_fix_and_check(model: Net, tmp_path: Path) -> None:
    for function in (fqat.fix, fqat.check):
        with pytest.raises(TypeError, match="example_inputs"):
            function(model)
        with pytest.raises(fqat.FqatError, match="cannot open") as caught:
            function(tmp_path / "none.pt")
        assert caught.value.exit_code == 2


def test_package_imports_torch_when_it_must() -> None:
    code = (
        "import sys, fqat; assert 'torch' not in sys.modules; fqat.ema.run_fix_preprocess; "
        "from fqat import prepare; assert fqat.prepare is prepare; assert 'torch' in sys.modules; "
        "assert not hasattr(fqat, 'prepair')"
    )
    path = str(Path(fqat.__file__).resolve().parents[1])
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path})
    assert done.returncode == 0
