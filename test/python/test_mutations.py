"""Bugs that a pass could have, put in on purpose: the proof or the check catches each.

`fqat-mlir-opt --fqat-test-mutations` fixes a model (with --functionalize), puts in one bug at a
time, and prints what caught it. The kinds are defined in tools/fqat-mlir-opt/Mutations.cpp.
"""

import os
import re
import subprocess
from collections import defaultdict
from pathlib import Path

import torch
from conftest import SHARED_MODELS
from torch import nn

# What must catch a kind: the proof, where it changes what is computed or held, or the check, where
# it breaks a rule and no number.
CAUGHT_BY = {
    "swap-weights": "proof",
    "make-tie": "proof",
    "lose-tie": "proof",
    "flip-requires-grad": "proof",
    "flip-training": "proof",
    "buffer-to-parameter": "proof",
    "lose-method": "proof",
    "drop-nop": "check",
    "nop-in-group": "check",
    "nop-with-body": "proof",
    "tail-before-nop": "check",
    # A clone that is not used computes the same; its source is called twice.
    "call-twice": "either",
    "swap-callees": "either",
    "swap-outputs": "proof",
    "swap-operands": "proof",
    "skip-op": "proof",
    "change-constant": "proof",
    "flip-zero": "proof",
    "read-other-slot": "proof",
    "read-after-write": "proof",
    "write-after-read": "proof",
    "lose-write": "proof",
    "reorder-random": "proof",
    "lose-random": "proof",
    "lose-raise": "proof",
    "swap-parts": "proof",
    "wrong-range": "proof",
    "old-version": "proof",
}
LINE = re.compile(r"([\w-]+): places (\d+), proof (\d+), check (\d+), missed (\d+)")


class Dropouts(nn.Module):
    def forward(self, a, b):
        return torch.dropout(a, 0.5, True), torch.dropout(b, 0.5, True)


class AlphaDropouts(nn.Module):
    def forward(self, a, b):
        return torch.alpha_dropout(a, 0.5, True), torch.alpha_dropout(b, 0.5, True)


class Noise(nn.Module):
    def forward(self, a, b):
        m, n = torch.rand_like(a), torch.rand_like(b)
        return a + m, b * n


class Siamese(nn.Module):
    """Layers that are tied on purpose, noise, a slot that counts, and a second method."""

    def __init__(self, noise: nn.Module, width: int):
        super().__init__()
        self.a = nn.Conv2d(3, width, 3, padding=1)
        self.b = nn.Conv2d(3, width, 3, padding=1)
        self.b.weight = self.a.weight
        self.bn = nn.BatchNorm2d(width)
        self.act = nn.ReLU()
        self.part = nn.Conv2d(2, 2, 3, padding=1)
        self.out_a = nn.Conv2d(width, 4, 1)
        self.out_b = nn.Conv2d(width, 4, 1)
        self.noise = noise
        self.seen = 0

    @torch.jit.export
    def embed(self, x):
        return self.act(self.bn(self.a(x)))

    def forward(self, x):
        if x.dim() != 4:
            raise ValueError("images, please")
        self.seen += 1
        a = self.act(self.bn(self.a(x)))
        b = self.act(self.bn(self.b(x)))
        b[:, :2] = self.part(b[:, :2])
        p, q = self.noise(a, b)
        gate = p.mean()
        p.add_(1.0)
        q.mul_(0.0)
        spread = q.std()
        first, second = self.out_a(p * gate), self.out_b(q + spread)
        return torch.cat([first, second], 1).sigmoid(), second


def write_own_models(folder: Path) -> list[Path]:
    paths = []
    for noise, width in ((Dropouts(), 4), (AlphaDropouts(), 6), (Noise(), 8)):
        torch.manual_seed(width)
        model = Siamese(noise, width)
        # Another state for each slot, as training leaves it.
        model.bn.running_mean.normal_()
        model.bn.running_var.uniform_(0.5, 2)
        path = folder / f"siamese_{width}.pt"
        torch.jit.script(model.eval()).save(str(path))
        paths.append(path)
    return paths


def find_outcomes(tool, path: Path) -> dict[str, list[int]]:
    """By kind: how many bugs were put in, and what caught them."""
    source = tool.folder / "model.mlir"
    tool.run(path, "-o", source, "-q", "--no-prove", "--pass-pipeline", "builtin.module()")
    program = Path(tool.program).with_name("fqat-mlir-opt")
    result = subprocess.run(
        [program, source, "--fqat-test-mutations", "-o", os.devnull],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, f"{path.stem}\n{result.stderr}"
    return {m[1]: [int(n) for n in m.groups()[1:]] for m in LINE.finditer(result.stdout)}


def test_every_kind_of_bug_is_caught(tool, tmp_path):
    paths = write_own_models(tmp_path)
    if SHARED_MODELS.exists():
        shared = sorted(SHARED_MODELS.glob("*.pt"))
        paths = [path for path in shared if not path.name.endswith(".inputs.pt")] + paths
    models: dict[str, list[str]] = defaultdict(list)
    missed = []
    table: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for path in paths:
        for kind, numbers in find_outcomes(tool, path).items():
            models[kind].append(path.stem)
            table[kind] = [a + b for a, b in zip(table[kind], numbers, strict=True)]
            places, proof, check, missed_here = numbers
            caught_by = {"proof": proof, "check": check, "either": proof + check}[CAUGHT_BY[kind]]
            if missed_here or caught_by != places:
                missed.append((kind, path.stem, numbers))
    print()
    for kind in CAUGHT_BY:
        places, proof, check, _ = table[kind]
        print(f"{kind:20} {len(models[kind]):3} models, {places:4} bugs: {proof} {check}")
    assert not missed
    assert set(models) == set(CAUGHT_BY)
    # Where there are three models for it, three; our own three hold most kinds.
    assert not {kind: held for kind, held in models.items() if len(held) < 3}
