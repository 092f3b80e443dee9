"""The checker in Python: models that break each rule are found out, right ones are not."""

from typing import List

import rules
import torch
from torch import nn


class Nop(nn.Module):
    def forward(self, x):
        return x


class Base(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)
        self.out_nop, self.out_nop1 = Nop(), Nop()


def found(tmp_path, model, **options) -> set:
    path = tmp_path / "model.pt"
    torch.jit.script(model.eval()).save(str(path))
    return {finding.rule for finding in rules.check(path, **options)}


class Right(Base):
    def forward(self, x):
        y = self.out_nop(self.a(x))
        z = self.out_nop1(self.b(x))
        return torch.cat([y, z], 1).sigmoid()


class RightArms(Base):
    def forward(self, x, flag: bool = True):
        if flag:
            y = self.out_nop(self.a(x)).sigmoid()
        else:
            y = self.out_nop1(self.b(x)).tanh()
        return y


class WithoutNop(Base):
    def forward(self, x):
        return self.a(x)


class Late(Base):
    def forward(self, x):
        y = self.a(x)
        z = self.b(x)
        return self.out_nop(y), self.out_nop1(z)


class FeedsLayer(Base):
    def forward(self, x):
        return self.out_nop1(self.b(self.out_nop(self.a(x))))


class ReadsBoth(Base):
    def forward(self, x):
        y = self.a(x)
        return self.out_nop(y), y.sigmoid()


class Lists(Right):
    def forward(self, x) -> List[torch.Tensor]:
        y = [self.out_nop(self.a(x))]
        return list(y)


class TailFirst(Base):
    def forward(self, x):
        y = self.out_nop(self.a(x)).sigmoid()
        return y, self.out_nop1(self.b(x))


class Twice(Base):
    def forward(self, x):
        return self.out_nop(self.a(self.a(x)))


class Helper(Base):
    def helper(self, x):
        return self.a(x)

    def forward(self, x):
        return self.out_nop(self.helper(x))


class Inner(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)

    def run(self, x):
        return self.conv(x)

    def forward(self, x):
        return x


class OtherEntry(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner, self.out_nop = Inner(), Nop()

    def forward(self, x):
        return self.out_nop(self.inner.run(x))


def test_right_models_have_no_findings(tmp_path):
    for model in (Right(), RightArms(), Helper()):
        assert found(tmp_path, model) == set()


def test_each_rule_is_found(tmp_path):
    for model in (WithoutNop(), Late(), FeedsLayer(), ReadsBoth()):
        assert found(tmp_path, model) == {"R1"}, type(model).__name__
    assert found(tmp_path, Lists()) == {"R2"}
    assert found(tmp_path, TailFirst()) == {"R3"}
    assert found(tmp_path, Twice()) == {"R4"}
    assert found(tmp_path, OtherEntry()) == {"R5"}


def test_husk_is_found(tmp_path):
    model = nn.Sequential(nn.Conv2d(3, 3, 1), nn.Identity())
    path = tmp_path / "model.pt"
    torch.jit.trace(model, torch.randn(1, 3, 4, 4)).save(str(path))
    assert {finding.rule for finding in rules.check(path)} == {"R1", "R5"}


def test_options(tmp_path):
    assert found(tmp_path, WithoutNop(), exclude=["a"]) == set()
    assert found(tmp_path, WithoutNop(), anchors=["linear"]) == set()
    assert found(tmp_path, Twice(), nop_name="other") == {"R1", "R4"}
