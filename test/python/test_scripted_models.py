"""Scripted models: control flow, helpers, lists and free functions in what is rewritten."""

from typing import Dict, List, Optional

import pytest
import rules
import torch
import torch.nn.functional as F  # noqa: N812
from conftest import assert_equivalent, records
from torch import Tensor, nn

X = torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def conv(inputs, outputs):
    return nn.Conv2d(inputs, outputs, 3, padding=1)


class Base(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.a, self.b = conv(3, 4), conv(4, 2), conv(4, 2)
        self.mid = nn.Sequential(conv(4, 4), nn.BatchNorm2d(4), nn.ReLU(inplace=True))


class LoopOfKnownLength(Base):
    def __init__(self):
        super().__init__()
        self.n = 3

    def forward(self, x):
        x = self.stem(x)
        for i in range(self.n):
            x = self.mid(x) + i
        return self.a(x)


class HelperCalledTwice(Base):
    def helper(self, x):
        return self.mid(x) * 0.5

    def forward(self, x):
        y = self.helper(self.stem(x))
        return self.a(y).sigmoid(), self.b(self.helper(y))


class TailInAnArm(Base):
    def forward(self, x, flag: bool = True):
        x = self.stem(x)
        if flag:
            y = self.a(x).sigmoid()
        else:
            y = self.a(x) * 2
        return y, self.b(x).permute(0, 2, 3, 1)


class ArmThatRaises(Base):
    def forward(self, x, mode: str = "a"):
        x = self.stem(x)
        if mode == "a":
            y = self.a(x).sigmoid()
        elif mode == "b":
            y = self.a(x)
        else:
            raise ValueError("no such mode")
        return y, self.b(x)


class EarlyReturn(Base):
    def forward(self, x, flag: bool = False):
        x = self.stem(x)
        if flag:
            return self.a(x).sigmoid()
        return self.b(x).softmax(1)


class FeaturesInDict(Base):
    def forward(self, x):
        features: Dict[str, Tensor] = {}
        features["stem"] = self.stem(x)
        features["mid"] = self.mid(features["stem"])
        features["out"] = self.a(features["mid"]).sigmoid()
        return features


class DenseList(Base):
    def forward(self, x):
        features = [self.stem(x)]
        features.append(self.mid(features[-1]))
        return self.a(features[0] + features[1]), features


class ListOfList(Base):
    def forward(self, x) -> List[Tensor]:
        x = self.stem(x)
        outs: List[Tensor] = []
        for y in (self.a(x), self.b(x)):
            outs.append(y)
        return list(outs)


class Segmenter(Base):
    def forward(self, x) -> Dict[str, Tensor]:
        size = x.shape[-2:]
        y = F.max_pool2d(self.stem(x), 2)
        out: Dict[str, Tensor] = {}
        out["out"] = F.interpolate(self.a(self.mid(y)), size=size, mode="bilinear")
        out["aux"] = F.interpolate(self.b(y), size=size, mode="bilinear")
        return out


class OnlyInTraining(Base):
    def forward(self, x):
        x = self.stem(x)
        aux: Optional[Tensor] = None
        if self.training:
            aux = self.b(x)
        return self.a(x).sigmoid(), aux


class Asserts(Base):
    def forward(self, x):
        x = self.stem(x)
        y = self.a(x).sigmoid()
        assert y.dim() == 4, "four"
        z = self.b(x)
        assert z.dim() == 4, "four too"
        return y, z


class WritesItsState(Base):
    mean: Tensor

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.zeros(4))

    def forward(self, x):
        x = self.stem(x)
        self.mean = self.mean * 0.9 + x.mean((0, 2, 3))
        return self.a(x).sigmoid(), self.mean * 2


class Forks(Base):
    def forward(self, x):
        x = self.stem(x)
        future = torch.jit.fork(self.a, x)
        y = self.b(x).sigmoid()
        return torch.jit.wait(future), y


class OneObjectInTwoSlots(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = conv(3, 4)
        self.a = torch.jit.script(conv(4, 4))
        self.b = self.a

    def forward(self, x):
        return self.b(self.a(self.stem(x)))


@torch.jit.script
def layer_and_tail(x: Tensor, weight: Tensor) -> Tensor:
    return F.conv2d(x, weight).sigmoid()


class FunctionWithLayer(Base):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(2, 4, 1, 1))

    def forward(self, x):
        x = self.stem(x)
        return layer_and_tail(x, self.weight), self.a(x)


MODELS = (
    LoopOfKnownLength,
    HelperCalledTwice,
    TailInAnArm,
    ArmThatRaises,
    EarlyReturn,
    FeaturesInDict,
    DenseList,
    ListOfList,
    Segmenter,
    OnlyInTraining,
    Asserts,
    WritesItsState,
    Forks,
    OneObjectInTwoSlots,
    FunctionWithLayer,
)


def assert_fixed(tool, module, *options) -> None:
    original = tool.folder / "model.pt"
    module.save(str(original))
    fixed = tool.fix(original, *options)
    assert not rules.check(fixed)
    assert_equivalent(original, fixed, (X,))
    tool.run("--check", fixed)
    assert records(tool.fix(fixed, *options)) == records(fixed)


@pytest.mark.parametrize("model", MODELS)
def test_fix(tool, model):
    torch.manual_seed(0)
    assert_fixed(tool, torch.jit.script(model().eval()))


@pytest.mark.parametrize("model", (TailInAnArm, Segmenter))
def test_fix_frozen(tool, model):
    torch.manual_seed(0)
    assert_fixed(tool, torch.jit.freeze(torch.jit.script(model().eval())))


@pytest.mark.parametrize("options", (("--nop-instances", "owner"), ("--clone-params", "share")))
def test_fix_with_options(tool, options):
    torch.manual_seed(0)
    assert_fixed(tool, torch.jit.script(HelperCalledTwice().eval()), *options)


class LoopOfUnknownLength(Base):
    def forward(self, x):
        x = self.stem(x)
        while x.shape[2] > 4:
            x = F.max_pool2d(self.mid(x), 2)
        return self.a(x)


def test_loop_of_unknown_length_names_both_lines(tool):
    original = tool.folder / "model.pt"
    torch.jit.script(LoopOfUnknownLength().eval()).save(str(original))
    output = tool.folder / "out.pt"
    result = tool.run(original, "-o", output, expect=3)
    assert "is called again and again by a loop" in result.stderr
    assert "note: the loop is here" in result.stderr
    assert result.stderr.count(__file__) == 2
    assert not output.exists()
