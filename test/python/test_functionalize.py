"""--functionalize: what autograd refuses can be trained after it, and computes the same bits."""

import pytest
import torch
import torch.nn.functional as F
from conftest import SHARED_MODELS, bits
from torch import nn


def conv(inner: int, outer: int) -> nn.Conv2d:
    return nn.Conv2d(inner, outer, 3, padding=1)


class Base(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = conv(8, 8)
        self.b = conv(4, 4)
        self.norm = nn.BatchNorm2d(8)
        self.act = nn.ReLU(inplace=True)


class PartialConv(Base):
    """FasterNet."""

    def forward(self, x):
        x = self.a(x)
        x[:, :4] = self.b(x[:, :4])
        return x


class Last(Base):
    def forward(self, x):
        x = self.a(x)
        x[:, -4:] = F.relu(self.b(x[:, -4:]))
        return x


class Middle(Base):
    """A view from before the write sees it."""

    def forward(self, x):
        x = self.a(x)
        view = x[:, 3:5]
        x[:, 2:6] = self.b(x[:, 2:6])
        return x.sum(1), view * 2


class All(Base):
    """Two parts, later places first, that leave nothing of what was there."""

    def forward(self, x):
        y = self.a(x).sigmoid()
        y[:, 4:] = self.b(y[:, 4:])
        y[:, :4] = self.b(y[:, :4])
        return y


class Converted(Base):
    """A write converts to the dtype of what it writes."""

    def forward(self, x):
        x = self.a(x).relu()
        x[:, :4] = self.b(x[:, :4]).double()
        return x


class Spread(Base):
    """A write spreads one channel over four."""

    def forward(self, x):
        x = self.a(x).relu()
        x[:, :4] = self.b(x[:, :4])[:, :1]
        return x


class Indexed(Base):
    def forward(self, x):
        y = self.a(x).tanh()
        y[:, 1:3, 2, :4] = y[:, 4:6, 1, :4] * 3
        y[:, -1] = y[:, 0]
        return y


class Decode(Base):
    """YOLOv5."""

    def forward(self, x):
        y = self.a(x).view(2, 1, 8, 6, 6).permute(0, 1, 3, 4, 2).contiguous().sigmoid()
        y[..., 0:2] = (y[..., 0:2] * 2.0 - 0.5) * 8
        y[..., 2:4] = (y[..., 2:4] * 2) ** 2
        return y.view(2, -1, 8)


class Mask(Base):
    def forward(self, x):
        y = self.a(x).relu()
        y[y > 0.5] = 0.25
        return y


class Activation(Base):
    """The norm keeps what the activation writes, and the sum reads it by its older name."""

    def forward(self, x):
        x = self.a(x)
        kept = self.norm(x)
        return self.act(x) + kept + x


class Chunk(Base):
    def forward(self, x):
        p, q = self.a(x).chunk(2, 1)
        return torch.cat([self.b(F.relu_(p)), q], 1)


class Arm(Base):
    def forward(self, x):
        y = self.a(x).relu()
        if y.sum() > 0:
            y[:, :4] = self.b(y[:, :4])
        else:
            y.mul_(2)
        return y * 2


SCRIPTED = (Arm,)
REFUSED = (
    PartialConv,
    Last,
    Middle,
    All,
    Converted,
    Spread,
    Indexed,
    Decode,
    Mask,
    Activation,
    Chunk,
    Arm,
)


def flatten(value) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value]
    return [tensor for part in value for tensor in flatten(part)]


def train(path, inputs) -> tuple[list, dict]:
    """What the model computes, and its gradients."""
    model = torch.jit.load(str(path))
    for parameter in model.parameters():
        parameter.requires_grad_(True)
    outputs = flatten(model(*[value.clone() for value in inputs]))
    sum(output.double().square().sum() for output in outputs if output.requires_grad).backward()
    return outputs, {name: parameter.grad for name, parameter in model.named_parameters()}


def save(tool, model: nn.Module, inputs, is_scripted: bool):
    if not is_scripted:
        return tool.trace(model, inputs)
    path = tool.folder / "model.pt"
    torch.jit.script(model).save(str(path))
    return path


@pytest.mark.parametrize("kind", REFUSED, ids=lambda kind: kind.__name__)
def test_trains_and_computes_the_same(tool, kind):
    torch.manual_seed(0)
    model, inputs = kind().eval(), (torch.randn(2, 8, 6, 6),)
    path = save(tool, model, inputs, kind in SCRIPTED)
    with pytest.raises(RuntimeError, match="modified by an inplace|being modified inplace"):
        train(path, inputs)
    fixed = tool.fix(path, "--functionalize")
    with torch.no_grad():
        expected = flatten(torch.jit.load(str(path))(*inputs))
    outputs, gradients = train(fixed, inputs)
    assert [bits(output.detach()) for output in outputs] == [bits(output) for output in expected]
    used = {"a.weight"} | ({"b.weight"} if kind in (PartialConv, All, Arm, Chunk) else set())
    assert all(gradients[name] is not None for name in used)
    # A fix that is fixed is the same.
    again = tool.folder / "again.pt"
    tool.run(fixed, "-o", again, "-q", "--functionalize")
    assert again.read_bytes() == fixed.read_bytes()


def test_gradients_are_right(tool):
    """The same model, written without a write."""

    class Written(PartialConv):
        def forward(self, x):
            x = self.a(x)
            return torch.cat([self.b(x[:, :4]), x[:, 4:]], 1)

    torch.manual_seed(0)
    model, inputs = PartialConv().eval(), (torch.randn(2, 8, 6, 6),)
    other = Written().eval()
    other.load_state_dict(model.state_dict())
    _, gradients = train(tool.fix(tool.trace(model, inputs), "--functionalize"), inputs)
    _, expected = train(tool.trace(other, inputs, "other.pt"), inputs)
    for name, gradient in gradients.items():
        assert (gradient is None) == (expected[name] is None)
        if gradient is not None:
            torch.testing.assert_close(gradient, expected[name])


def test_parts_are_put_together(tool, filecheck):
    path = tool.trace(PartialConv().eval(), (torch.randn(2, 8, 6, 6),))
    filecheck(
        tool.emit_mlir(path, "--functionalize"),
        """
        CHECK: %[[CONV:.*]] = fqat.call @b.forward
        CHECK-NEXT: %[[NOP:.*]] = fqat.out_nop @{{.*}}(%[[CONV]])
        CHECK-NOT: copy_
        CHECK: fqat.list(%[[NOP]], %
        CHECK-NEXT: fqat.op "aten::cat"
        """,
    )


def test_what_autograd_takes_stays(tool):
    class Plain(Base):
        def forward(self, x):
            return self.act(self.norm(self.a(x)).mul_(2))

    path = tool.trace(Plain().eval(), (torch.randn(2, 8, 6, 6),))
    assert tool.fix(path).read_bytes() == tool.fix(path, "--functionalize").read_bytes()


def test_a_write_that_the_caller_sees_stays(tool):
    class Input(Base):
        def forward(self, x):
            return self.a(x) + x.mul_(2)

    path = tool.trace(Input().eval(), (torch.randn(2, 8, 6, 6),))
    result = tool.run(path, "-o", tool.folder / "fixed.pt", "--functionalize")
    assert "training cannot pass this write" in result.stderr
    assert "test_functionalize.py" in result.stderr


@pytest.mark.skipif(not SHARED_MODELS.exists(), reason="the shared models are not here")
def test_fasternet_trains(tool):
    path = SHARED_MODELS / "fasternet_t0_repo_slicing.pt"
    inputs = torch.load(path.with_suffix(".inputs.pt"), weights_only=False)
    with pytest.raises(RuntimeError, match="modified by an inplace"):
        train(path, inputs)
    fixed = tool.folder / "fixed.pt"
    tool.run(path, "-o", fixed, "-q", "--functionalize")
    with torch.no_grad():
        expected = flatten(torch.jit.load(str(path))(*inputs))
    outputs, gradients = train(fixed, inputs)
    assert [bits(output.detach()) for output in outputs] == [bits(output) for output in expected]
    assert all(gradient is not None for gradient in gradients.values())
