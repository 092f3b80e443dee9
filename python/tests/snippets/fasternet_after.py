"""Blocks in the style of FasterNet: the constructor chooses the method that runs."""

import torch
from torch import Tensor, nn


class PartialConv(nn.Module):
    """A convolution of some of the channels."""

    def __init__(self, dim, n_div=4, forward="split_cat"):
        super().__init__()
        self.dim_conv = dim // n_div
        self.dim_rest = dim - self.dim_conv
        self.conv = nn.Conv2d(self.dim_conv, self.dim_conv, 3, 1, 1, bias=False)

        if forward == "slicing":
            self._forward_method = "forward_slicing"  # for inference
        elif forward == "split_cat":
            self._forward_method = "forward_split_cat"
        else:
            raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """Run what the constructor chose."""
        if self._forward_method == "forward_slicing":
            return self.forward_slicing(x)
        return self.forward_split_cat(x)

    def forward_slicing(self, x: Tensor) -> Tensor:
        """Write over a copy."""
        x = x.clone()
        x[:, : self.dim_conv] = self.conv(x[:, : self.dim_conv])
        return x

    def forward_split_cat(self, x: Tensor) -> Tensor:
        """Split and concatenate."""
        items = []
        items.append(self.dim_conv)
        items.append(self.dim_rest)
        a, b = torch.split(x, items, dim=1)
        return torch.cat((self.conv(a), b), 1)


class Block(nn.Module):
    """Adds; with a scale if there is one."""

    def __init__(self, dim, scale=0.0):
        super().__init__()
        self.mix = PartialConv(dim, forward="slicing")
        self.more = PartialConv(dim)
        self._forward_method = "forward"
        if scale > 0:
            self.scale = nn.Parameter(scale * torch.ones(dim, 1, 1))
            self._forward_method = "forward_scaled"

    def forward(self, x):
        """Add."""
        if self._forward_method == "forward_scaled":
            return self.forward_scaled(x)
        return x + self.more(self.mix(x))

    def forward_scaled(self, x):
        return x + self.scale * self.more(self.mix(x))


class Head(nn.Module):
    """Always the same method."""

    def __init__(self, dim):
        super().__init__()
        self.fc = nn.Linear(dim, 3)
        # The method that runs.

    def forward(self, x, *, flat: bool = True) -> Tensor:
        return self.forward_cls(x, flat=flat)

    def forward_cls(self, x, *, flat: bool = True) -> Tensor:
        x = x.mean((2, 3)) if flat else x
        return self.fc(x)


class Model(nn.Module):
    """All of it."""

    def __init__(self):
        super().__init__()
        self.plain = Block(8)
        self.scaled = Block(8, 0.5)
        self.head = Head(8)

    def forward(self, x):
        return self.head(self.scaled(self.plain(x)))


def make():
    """The model and its inputs."""
    return Model(), (torch.randn(1, 8, 4, 4),)
