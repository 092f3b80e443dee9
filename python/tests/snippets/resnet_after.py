"""Blocks in the style of ResNet: one ReLU, called several times."""

import copy
import math
from typing import Optional

import torch
from torch import Tensor, nn


def conv3x3(c_in: int, c_out: int, stride: int = 1) -> nn.Conv2d:
    """3 by 3 convolution with padding."""
    return nn.Conv2d(c_in, c_out, 3, stride, 1, bias=False)


class Basic(nn.Module):
    """Two convolutions and a shortcut."""

    def __init__(self, c_in: int, c_out: int, down: Optional[nn.Module] = None) -> None:
        super().__init__()
        self.conv1 = conv3x3(c_in, c_out)
        self.bn1 = nn.BatchNorm2d(c_out)
        self.relu = nn.ReLU(inplace=True)  # in place
        self.relu1 = nn.ReLU(inplace=True)
        self.conv2 = conv3x3(c_out, c_out)
        self.bn2 = nn.BatchNorm2d(c_out)
        self.down = down

    def forward(self, x: Tensor) -> Tensor:
        identity = x

        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))

        if self.down is not None:
            identity = self.down(x)

        out += identity
        return self.relu1(out)


class Deep(nn.Module):
    """One activation in the branches of an if, and in a method."""

    def __init__(self, c: int, slope: float = 0.1, wide: bool = False) -> None:
        super().__init__()
        self.wide = wide
        if wide:
            self.act = nn.LeakyReLU(slope)
            self.act1 = nn.LeakyReLU(slope)
        else:
            self.act = nn.Hardswish()
            self.act1 = nn.Hardswish()
        self.mix1 = nn.Conv2d(c, c, 1)
        nn.init.normal_(self.mix1.weight, std=math.sqrt(1 / c))
        self.norm = nn.Identity()
        self.mix1_1 = copy.deepcopy(self.mix1)

    def _mix(self, x: Tensor) -> Tensor:
        return self.act1(self.mix1(x))

    def forward(self, x: Tensor) -> Tensor:
        if self.wide:
            x = self.act(x)
        else:
            x = self.act(-x)
        x = self.mix1_1(self._mix(x))
        if x.numel() == 0:
            return self.norm(x)
        return self.norm(x) + 1


class Model(nn.Module):
    """All of it."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = Basic(3, 4, nn.Conv2d(3, 4, 1))
        self.body = Basic(4, 4)
        self.narrow = Deep(4)
        self.wide = Deep(4, wide=True)
        for m in self.modules():
            if isinstance(m, nn.BatchNorm2d):
                nn.init.constant_(m.weight, 0.5)

    def forward(self, x: Tensor) -> Tensor:
        return self.wide(self.narrow(self.body(self.stem(x))))


def make():
    """The model and its inputs."""
    return Model(), (torch.randn(2, 3, 8, 8),)
