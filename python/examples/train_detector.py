"""Train a small YOLO-like detector that makes every mistake, once `fqat.prepare` has fixed it.

Shows what a training kit says of the detector, fixes it, calibrates it, trains it with rounded
weights and features on images of coloured rectangles, and draws the loss. The kit is a stand-in
for a vendor's, `python/tests/kit.py`.

    python train_detector.py --fqat-opt build/bin/fqat-opt --out build/train
"""

from __future__ import annotations

import argparse
import copy
import sys
from pathlib import Path
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

import kit

import fqat
from fqat.ema import run_fix_preprocess

COLOURS = torch.tensor([[1.0, 0.2, 0.2], [0.2, 1.0, 0.2], [0.2, 0.2, 1.0]])
SIZE = 64
STRIDES = (4, 8)
# The longer side, in pixels, from which on a rectangle belongs to the coarser level.
COARSE = 24


# The detector, with the mistakes --------------------------------------------------------------


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
        self.forward = self.forward_split

    def forward_split(self, x: Tensor) -> Tensor:
        """Convolve the first quarter, keep the others."""
        return torch.cat((self.conv(x[:, : self.part]), x[:, self.part :]), 1)


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


def make_branch(c_in: int, c_out: int, bias: float) -> nn.Sequential:
    """Make a branch of the head whose outputs start near `bias`."""
    conv = nn.Conv2d(c_in, c_out, 1)
    nn.init.constant_(conv.get_parameter("bias"), bias)
    return nn.Sequential(Conv(c_in, c_in), conv)


class Detect(nn.Module):
    """A head with a box and a class branch on each of two levels."""

    def __init__(self, classes: int, channels: tuple[int, ...]) -> None:
        """Make a head for feature maps of `channels` channels."""
        super().__init__()
        self.cv2 = nn.ModuleList(make_branch(c, 4, 2.0) for c in channels)
        # Most cells are empty.
        self.cv3 = nn.ModuleList(make_branch(c, classes, -4.0) for c in channels)
        self.out_nop = kit.Nop()
        self.out_nop1 = kit.Nop()
        self.out_nop2 = kit.Nop()

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        """Give distances of box sides and logits of classes, (n, 4 + classes, h, w) a level."""
        # Mistake (R1): conv, conv, nop, nop.
        box, cls = self.cv2[0](features[0]), self.cv3[0](features[0])
        box, cls = self.out_nop(box), self.out_nop1(cls)
        # Mistake (R3): a cat before the last output conv, and before the nop.
        fine = torch.cat((box, cls), 1)
        coarse = torch.cat((self.cv2[1](features[1]), self.cv3[1](features[1])), 1)
        return [fine, self.out_nop2(coarse)]


class Detector(nn.Module):
    """The whole of it."""

    def __init__(self) -> None:
        """Make a detector with two levels."""
        super().__init__()
        self.stem = Conv(3, 16, stride=2)
        self.stem2 = Conv(16, 24, stride=2)
        self.partial = PartialConv(24)
        self.body = Bottleneck(24)
        self.down = Conv(24, 32, stride=2)
        self.detect = Detect(len(COLOURS), (24, 32))

    def forward(self, x: Tensor) -> list[Tensor]:
        """Detect in images (n, 3, h, w)."""
        low = self.body(self.partial(self.stem2(self.stem(x))))
        # Mistake (R2): list().
        return self.detect(list((low, self.down(low))))


# What it learns -------------------------------------------------------------------------------


def make_batch(count: int, generator: torch.Generator) -> tuple[Tensor, list[Tensor]]:
    """Draw images of one to three coloured rectangles on grey noise.

    Returns:
        The images, (count, 3, SIZE, SIZE), and as the detector gives them, for each level,
        the distances of box sides (left, top, right, bottom, in cells) and 0 or 1 for each class:
        (count, 4 + classes, h, w). A rectangle is learnt in the cell of its centre.
    """

    def pick(low: int, high: int) -> int:
        return int(torch.randint(low, high, (), generator=generator))

    images = 0.5 + 0.1 * torch.randn(count, 3, SIZE, SIZE, generator=generator)
    targets = [torch.zeros(count, 4 + len(COLOURS), SIZE // s, SIZE // s) for s in STRIDES]
    for i in range(count):
        for _ in range(pick(1, 4)):
            width, height, colour = pick(8, 40), pick(8, 40), pick(0, len(COLOURS))
            left, top = pick(0, SIZE - width), pick(0, SIZE - height)
            images[i, :, top : top + height, left : left + width] = COLOURS[colour][:, None, None]
            level = int(max(width, height) >= COARSE)
            x, y = (left + width / 2) / STRIDES[level], (top + height / 2) / STRIDES[level]
            cell = targets[level][i, :, int(y), int(x)]
            half = torch.tensor([width, height]) / 2 / STRIDES[level]
            shift = torch.tensor([x % 1 - 0.5, y % 1 - 0.5])
            cell[:4] = torch.cat((half - shift, half + shift))
            cell[4:] = 0
            cell[4 + colour] = 1
    return images, targets


def compute_loss(outputs: list[Tensor], targets: list[Tensor]) -> Tensor:
    """Return the loss of classes in all cells and of boxes in those with one, per rectangle."""
    count = sum(target[:, 4:].sum() for target in targets)
    return torch.stack(list(map(compute_level_loss, outputs, targets))).sum() / count


def compute_level_loss(output: Tensor, target: Tensor) -> Tensor:
    """Return the sum of the losses of one level."""
    full = target[:, 4:].amax(1) > 0
    classes = functional.binary_cross_entropy_with_logits(
        output[:, 4:], target[:, 4:], reduction="sum"
    )
    boxes = functional.smooth_l1_loss(
        output[:, :4].movedim(1, -1)[full], target[:, :4].movedim(1, -1)[full], reduction="sum"
    )
    return classes + boxes


# Training -------------------------------------------------------------------------------------


class ModelEma:
    """The moving average of a model that is trained, as YOLO trainers keep it."""

    def __init__(self, model: nn.Module, decay: float = 0.95) -> None:
        """Start with a copy of the model."""
        self.ema = copy.deepcopy(model).eval().requires_grad_(False)
        self.decay = decay

    def update(self, model: nn.Module) -> None:
        """Move what is averaged towards the model."""
        trained = model.state_dict()
        for key, value in self.ema.state_dict().items():
            if value.is_floating_point():
                value.lerp_(trained[key], 1 - self.decay)


class Run(NamedTuple):
    """What training gave.

    Attributes:
        losses: The loss of each step.
        before: The loss of the averaged model on images that are not trained on, at first.
        after: The same in the end.
    """

    losses: list[float]
    before: float
    after: float


def list_refusals(model: Detector, mode: str) -> list[tuple[str, str]]:
    """Let the kit try the detector and parts of it.

    Returns:
        Names of the classes, and what the kit says of them; those that it takes are left out.
    """

    def with_head(part: nn.Module) -> nn.Module:
        return nn.Sequential(part, nn.Conv2d(24, 4, 1), kit.Nop())

    low, high = torch.randn(2, 24, 16, 16), torch.randn(2, 32, 8, 8)
    refusals = []
    for part, argument in (
        (model, torch.randn(2, 3, SIZE, SIZE)),
        (model.detect, [low, high]),
        (with_head(model.body), low),
        (with_head(model.partial), low),
    ):
        name = type(part[0] if isinstance(part, nn.Sequential) else part).__name__
        try:
            trial = kit.Kit(kit.convert(part), mode=mode)
            trial.calibrate([argument])
            trial.train()
            trial.model(argument)
        except kit.KitError as error:
            refusals.append((name, str(error)))
    return refusals


def show_progress(step: int, steps: int, loss: float) -> None:
    """Draw a bar on a terminal; elsewhere, the last line only."""
    if sys.stderr.isatty() or step == steps:
        bar = "#" * (30 * step // steps)
        end = "\n" if step == steps else ""
        print(f"\r[{bar:<30}] {step}/{steps} loss {loss:.3f}", end=end, file=sys.stderr, flush=True)


def prepare(model: Detector, mode: str, fqat_opt: str | None = None) -> nn.Module:
    """Fix the detector for a mode of the kit."""
    return fqat.prepare(
        model,
        torch.randn(1, 3, SIZE, SIZE),
        mode=mode,
        nop=kit.Nop,
        ops={"Conv2d": kit.Conv2D} if mode == "ops" else None,
        fqat_opt=fqat_opt,
    )


def train(fixed: nn.Module, mode: str, steps: int, seed: int = 0) -> Run:
    """Calibrate and train a fixed detector, rounded.

    Args:
        fixed: What `fqat.prepare` returned.
        mode: ``ops`` or ``fx``.
        steps: How many batches of 16 images.
        seed: Of the images.
    """
    generator = torch.Generator().manual_seed(seed)
    groups = cast("list[kit.Group]", fixed.fqat_groups)
    trainer = kit.Kit(fixed, groups, mode)
    trainer.calibrate(make_batch(16, generator)[0] for _ in range(4))
    trainer.eval()
    average = ModelEma(trainer.model)
    images, targets = make_batch(64, generator)

    def evaluate() -> float:
        run_fix_preprocess(average)
        with torch.no_grad():
            return compute_loss(average.ema(images), targets).item()

    before = evaluate()
    optimiser = torch.optim.Adam(trainer.model.parameters(), lr=1e-2)
    losses = []
    trainer.train()
    for step in range(1, steps + 1):
        batch, wanted = make_batch(16, generator)
        loss = compute_loss(trainer.model(batch), wanted)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        average.update(trainer.model)
        losses.append(loss.item())
        show_progress(step, steps, losses[-1])
    return Run(losses, before, evaluate())


def draw(losses: list[float], path: Path) -> None:
    """Draw the loss of each step as an SVG."""
    width, height, margin = 640, 320, 48
    top = max(losses)
    points = " ".join(
        f"{margin + i * (width - 2 * margin) / len(losses):.1f},"
        f"{height - margin - loss / top * (height - 2 * margin):.1f}"
        for i, loss in enumerate(losses, 1)
    )
    left, right, floor = margin, width - margin, height - margin
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"'
        ' font-family="sans-serif" font-size="13" fill="none">\n'
        f'<rect width="{width}" height="{height}" fill="white"/>\n'
        f'<path d="M{left} {margin}V{floor}H{right}" stroke="grey"/>\n'
        f'<polyline points="{points}" stroke="steelblue" stroke-width="1.5"/>\n'
        '<g fill="black" text-anchor="end">'
        f'<text x="{left - 6}" y="{margin + 4}">{top:.1f}</text>'
        f'<text x="{left - 6}" y="{floor}">0</text>'
        f'<text x="{right}" y="{floor + 20}">step {len(losses)}</text>'
        f'<text x="{right}" y="{margin - 16}">loss, {losses[-1]:.2f} at last</text></g>\n</svg>\n',
        encoding="utf-8",
    )


def main() -> int:
    """Return 0 if the loss fell."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fqat-opt", help="the program (found as fqat.prepare finds it)")
    parser.add_argument("--out", type=Path, default=Path("."), help="folder for the drawing")
    parser.add_argument("--steps", type=int, default=300, help="batches to train on (300)")
    parser.add_argument("--mode", choices=("ops", "fx"), default="ops", help="of the kit (ops)")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)

    torch.set_num_threads(1)  # the layers are too small to be shared out
    torch.manual_seed(0)
    model = Detector().eval()
    print("What the kit says of the model, and of parts of it:")
    for name, message in list_refusals(model, arguments.mode):
        print(f"  {name}: {message}")

    fixed = prepare(model, arguments.mode, arguments.fqat_opt)
    print(f"\nFixed. Training for {arguments.steps} steps:", flush=True)
    run = train(fixed, arguments.mode, arguments.steps)
    draw(run.losses, arguments.out / "loss.svg")
    print(f"loss of the averaged model on new images: {run.before:.2f}, {run.after:.2f} at last")
    print(f"The curve is {arguments.out / 'loss.svg'}")
    return 0 if run.after < run.before else 1


if __name__ == "__main__":
    sys.exit(main())
