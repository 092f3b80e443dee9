"""Blocks in the style of YOLO: a class attribute, repeated calls, list()."""

import copy

import torch
import torch.nn as nn


def autopad(k, p=None):
    """Pad so that the size stays."""
    return k // 2 if p is None else p


class Conv(nn.Module):
    """Convolution, batch norm, activation."""

    default_act = nn.SiLU()  # default activation

    def __init__(self, c1, c2, k=1, s=1, p=None, act=True):
        super().__init__()
        self.conv = nn.Conv2d(c1, c2, k, s, autopad(k, p), bias=False)
        self.bn = nn.BatchNorm2d(c2)
        # True is the default, False is none.
        self.act = copy.deepcopy(self.default_act) if act is True else act if act else nn.Identity()

    def forward(self, x):
        return self.act(self.bn(self.conv(x)))

    def forward_fuse(self, x):
        return self.act(self.conv(x))


class Bottleneck(nn.Module):
    """One block, run twice."""

    def __init__(self, c, shortcut=True):
        super().__init__()
        self.cv = Conv(c, c, 3)
        self.cv1 = copy.deepcopy(self.cv)
        self.add = shortcut

    def forward(self, x):
        # The inner call runs first.
        return x + self.cv1(self.cv(x)) if self.add else self.cv1(self.cv(x))


class C2f(nn.Module):
    """Split, then concatenate what every bottleneck gives."""

    def __init__(self, c1, c2, n=1):
        super().__init__()
        self.c = c2 // 2
        self.cv1 = Conv(c1, 2 * self.c)
        self.cv2 = Conv((2 + n) * self.c, c2, act=nn.ReLU())
        self.m = nn.ModuleList(Bottleneck(self.c) for _ in range(n))

    def forward(self, x):
        y = [v for v in self.cv1(x).chunk(2, 1)]
        y.extend(m(y[-1]) for m in self.m)
        return self.cv2(torch.cat(y, 1))

    def forward_split(self, x):
        y = [v for v in self.cv1(x).split((self.c, self.c), 1)]
        y.extend(m(y[-1]) for m in self.m)
        return self.cv2(torch.cat([*y], 1))


class SPPF(nn.Module):
    """Pyramid pooling, fast."""

    def __init__(self, c1, c2, k=5):
        super().__init__()
        c_ = c1 // 2
        self.cv1 = Conv(c1, c_, 1, 1)
        self.cv2 = Conv(c_ * 4, c2, 1, 1)
        self.m = nn.MaxPool2d(kernel_size=k, stride=1, padding=k // 2)
        self.m1 = nn.MaxPool2d(kernel_size=k, stride=1, padding=k // 2)
        self.m2 = nn.MaxPool2d(kernel_size=k, stride=1, padding=k // 2)

    def forward(self, x):
        x = self.cv1(x)
        y1 = self.m(x)
        y2 = self.m1(y1)  # twice
        items = []
        items.append(x)
        items.append(y1)
        items.append(y2)
        items.append(self.m2(y2))
        return self.cv2(torch.cat(items, 1))


class Model(nn.Module):
    """All of it."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(*list((Conv(3, 8, 3, 2), C2f(8, 8), SPPF(8, 8))))

    def forward(self, x):
        features = []
        for layer in self.layers:
            x = layer(x)
            features.append(x)
        items = []
        items.append(features[0])
        items.append(x)
        return items


def make():
    """The model and its inputs."""
    return Model(), (torch.randn(1, 3, 16, 16),)
