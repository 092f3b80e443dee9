"""Heads: nops that come too late, a tail that runs too early."""

import torch
from torch import nn


class OutNop(nn.Module):
    """Marks an output."""

    def forward(self, x):
        return x


class Late(nn.Module):
    """conv, conv, nop, nop."""

    def __init__(self, c):
        super().__init__()
        self.box = nn.Conv2d(c, 4, 1)
        self.cls = nn.Conv2d(c, 3, 1)
        self.out_nop = OutNop()
        self.out_nop1 = OutNop()

    def forward(self, x):
        box = self.box(x)
        # Mark both.
        box = self.out_nop(box)
        cls = self.cls(x)
        cls = self.out_nop1(cls)
        return torch.cat((box, cls), 1)


class Pairs(nn.Module):
    """Both at once, and a tail in between."""

    def __init__(self, c):
        super().__init__()
        self.cv2 = nn.ModuleList(nn.Conv2d(c, 4, 1) for _ in range(2))
        self.cv3 = nn.ModuleList(nn.Conv2d(c, 3, 1) for _ in range(2))
        self.out_nop = OutNop()
        self.out_nop1 = OutNop()
        self.out_nop2 = OutNop()

    def forward(self, x):
        box, cls = self.out_nop(self.cv2[0](x[0])), self.out_nop1(self.cv3[0](x[0]))
        high = self.out_nop2(self.cv2[1](x[1]))
        low = torch.cat((box, cls), 1)  # the lower level
        low = low.flatten(2)
        return low, high.flatten(2)


class Detect(nn.Module):
    """A cat on every level, with nops behind it."""

    def __init__(self, c, nl=2):
        super().__init__()
        self.nl = nl
        self.cv2 = nn.ModuleList(nn.Conv2d(c, 4, 1) for _ in range(nl))
        self.cv3 = nn.ModuleList(nn.Conv2d(c, 3, 1) for _ in range(nl))
        self.out_nop = OutNop()

    def forward(self, x):
        levels = []
        for i in range(self.nl):
            out = self.out_nop(self.cv2[i](x[i]))
            out1 = self.out_nop(self.cv3[i](x[i]))
            levels.append((out, out1))
        for i, (out, out1) in enumerate(levels):
            x[i] = torch.cat((out, out1), 1)
        return x


class Anchors(nn.Module):
    """View and permute on every level, nops before them."""

    def __init__(self, c, na=3):
        super().__init__()
        self.na = na
        self.m = nn.ModuleList(nn.Conv2d(c, na * 5, 1) for _ in range(2))
        self.nops = nn.ModuleList(OutNop() for _ in range(2))

    def forward(self, x):
        z = []
        levels = []
        for i in range(len(x)):
            y = self.nops[i](self.m[i](x[i]))
            bs, _, ny, nx = y.shape
            levels.append((bs, nx, ny, y))
        for bs, nx, ny, y in levels:
            # (bs, na, ny, nx, 5)
            y = y.view(bs, self.na, 5, ny, nx).permute(0, 1, 3, 4, 2).contiguous()
            z.append(y.sigmoid())
        return torch.cat([v.flatten(1, 3) for v in z], 1)


class Model(nn.Module):
    """All of it."""

    def __init__(self):
        super().__init__()
        self.late = Late(4)
        self.pairs = Pairs(4)
        self.detect = Detect(4)
        self.anchors = Anchors(4)

    def forward(self, a, b):
        return self.late(a), self.pairs([a, b]), self.detect([a, b]), self.anchors([a, b])


def make():
    """The model and its inputs."""
    return Model(), (torch.randn(1, 4, 4, 4), torch.randn(1, 4, 2, 2))
