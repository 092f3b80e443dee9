"""Fix a small YOLO-like detector that makes every mistake at once.

Traces the detector, prints what `fqat-opt --check` finds in it, writes the fixed file, and shows
that the check is clean now and that the outputs are equal bit for bit.

    python fix_a_detector.py --fqat-opt build/bin/fqat-opt --out build/example
"""

import argparse
import subprocess
import sys
from pathlib import Path

import torch
from torch import Tensor, nn


class OutNop(nn.Module):
    """Marks an output for the quantiser; does nothing."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the argument."""
        return x


class Conv(nn.Module):
    """Convolution, batch norm and activation."""

    # Mistake (R4): one activation object, called once in every block.
    default_act = nn.SiLU()

    def __init__(self, c_in: int, c_out: int, k: int = 3, stride: int = 1) -> None:
        """Make a block from `c_in` to `c_out` channels."""
        super().__init__()
        self.conv = nn.Conv2d(c_in, c_out, k, stride, k // 2, bias=False)
        self.bn = nn.BatchNorm2d(c_out)
        self.act = self.default_act

    def forward(self, x: Tensor) -> Tensor:
        """Run the block on (n, c, h, w)."""
        return self.act(self.bn(self.conv(x)))


class PartialConv(nn.Module):
    """A convolution of the first quarter of the channels (FasterNet)."""

    def __init__(self, channels: int) -> None:
        """Make it for `channels` channels."""
        super().__init__()
        self.part = channels // 4
        self.conv = nn.Conv2d(self.part, self.part, 3, 1, 1, bias=False)
        # Mistake (R5): the method that runs is not called forward.
        self.forward = self.forward_slicing

    def forward_slicing(self, x: Tensor) -> Tensor:
        """Write the convolved channels over the others' first quarter."""
        x = x.clone()
        x[:, : self.part] = self.conv(x[:, : self.part])
        return x


class Bottleneck(nn.Module):
    """Two blocks and a shortcut."""

    def __init__(self, channels: int) -> None:
        """Make it for `channels` channels."""
        super().__init__()
        self.cv = Conv(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Run the same block twice."""
        # Mistake (R4): one module, called twice.
        return x + self.cv(self.cv(x))


class Detect(nn.Module):
    """A head with a box and a class branch on each of two levels."""

    def __init__(self, classes: int, channels: tuple[int, ...]) -> None:
        """Make a head for feature maps of `channels` channels."""
        super().__init__()
        self.cv2 = nn.ModuleList(nn.Sequential(Conv(c, c), nn.Conv2d(c, 4, 1)) for c in channels)
        self.cv3 = nn.ModuleList(
            nn.Sequential(Conv(c, c), nn.Conv2d(c, classes, 1)) for c in channels
        )
        self.out_nop = OutNop()
        self.out_nop1 = OutNop()

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        """Give boxes and classes of each level, concatenated."""
        # Mistake (R1): conv, conv, nop, nop.
        box, cls = self.cv2[0](features[0]), self.cv3[0](features[0])
        box, cls = self.out_nop(box), self.out_nop1(cls)
        # Mistake (R3): a cat before the last output conv; and no nops there.
        outputs = [torch.cat((box, cls), 1)]
        outputs.append(torch.cat((self.cv2[1](features[1]), self.cv3[1](features[1])), 1))
        return outputs


class Detector(nn.Module):
    """The whole of it."""

    def __init__(self) -> None:
        """Make a detector with two levels and three classes."""
        super().__init__()
        self.stem = Conv(3, 16, stride=2)
        self.partial = PartialConv(16)
        self.body = Bottleneck(16)
        self.down = Conv(16, 32, stride=2)
        self.detect = Detect(3, (16, 32))

    def forward(self, x: Tensor) -> list[Tensor]:
        """Detect in images (n, 3, h, w)."""
        low = self.body(self.partial(self.stem(x)))
        return self.detect([low, self.down(low)])


def run(command: list[str]) -> int:
    """Run a command, show it, and return its exit code."""
    print("$", " ".join(command), flush=True)
    return subprocess.run(command, check=False).returncode


def main() -> int:
    """Return 0 if the fixed model is clean and computes the same bits."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fqat-opt", default="fqat-opt", help="the program")
    parser.add_argument("--out", type=Path, default=Path("."), help="folder for the files")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    original, fixed = arguments.out / "detector.pt", arguments.out / "detector.fqat.pt"

    torch.manual_seed(0)
    model = Detector().eval()
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        torch.jit.trace(model, image, strict=False).save(str(original))

    print("What is wrong with the model:", flush=True)
    if run([arguments.fqat_opt, "--check", str(original)]) != 1:
        print("error: the check should have found something")
        return 1
    print("\nThe fix:", flush=True)
    if run([arguments.fqat_opt, str(original), "-o", str(fixed)]) != 0:
        return 1
    print("\nThe check of the fixed file:", flush=True)
    if run([arguments.fqat_opt, "--check", str(fixed)]) != 0:
        return 1

    with torch.no_grad():
        before = torch.jit.load(str(original))(image)
        after = torch.jit.load(str(fixed))(image)
    for i, (a, b) in enumerate(zip(before, after, strict=True)):
        equal = torch.equal(a.view(torch.int32), b.view(torch.int32))
        print(f"output {i}: {tuple(a.shape)}, {'equal bit for bit' if equal else 'DIFFERENT'}")
        if not equal:
            return 1
    print(f"\nThe fixed model is {fixed}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
