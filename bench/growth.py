"""How the cost of a fix grows with the model: 1,000 to 1,000,000 operators.

Fits seconds = a * operators ** b to what the passes and the proof take, and to the whole process,
for each shape, and draws the curves. One run a point, and the best of three for the small ones:
what is fitted spans a factor of a thousand. Of the shapes, one goes to a million: load and save
take time that grows with the square of the number of classes, hours for the others.
"""

import argparse
import math
import tempfile
import time
from pathlib import Path

import generate
import matplotlib
from measure import FLOOR, FQAT_OPT, Program, get_phases

matplotlib.use("svg")
import matplotlib.pyplot as plt  # noqa: E402

SHAPES = ("deep", "wide", "shared", "heads")
# What the fix itself is, beside reading and writing.
FIX = ("passes", "proof")


def fit_exponent(points: list[tuple[int, float]]) -> float:
    """Returns b of the best line through the points' logarithms."""
    xs = [math.log(ops) for ops, _ in points]
    ys = [math.log(seconds) for _, seconds in points]
    x, y = sum(xs) / len(xs), sum(ys) / len(ys)
    return sum((a - x) * (b - y) for a, b in zip(xs, ys, strict=True)) / sum(
        (a - x) ** 2 for a in xs
    )


def measure(shape: str, ops: int, folder: Path) -> tuple[int, dict[str, float]]:
    """Returns how many operators a model has, and the seconds of fix, process and floor."""
    model, output = folder / "model.pt", folder / "output.pt"
    count = generate.generate(shape, ops, model, plain=True)
    seconds: dict[str, float] = {}
    for _ in range(3 if ops <= 30000 else 1):
        start = time.perf_counter()
        phases = get_phases(model, output)
        process = time.perf_counter() - start
        measured = {
            "fix": sum(phases[name] for name in FIX),
            "process": process,
            "floor": Program("floor", [FLOOR, str(model), str(output)]).run(),
        }
        for name, value in measured.items():
            seconds[name] = min(value, seconds.get(name, value))
    return count, seconds


def draw(curves: dict[str, list[tuple[int, dict[str, float]]]], path: Path) -> None:
    """Draws the seconds of the fix, and those of the process over those of the floor."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4))
    for shape, points in curves.items():
        counts = [count for count, _ in points]
        left.loglog(counts, [s["fix"] for _, s in points], marker="o", label=shape)
        right.semilogx(counts, [s["process"] / s["floor"] for _, s in points], marker="o")
    left.set(title="passes and proof", xlabel="operators", ylabel="seconds")
    right.set(title="whole process / load + save", xlabel="operators")
    right.axhline(1, color="grey", linewidth=0.5)
    left.legend()
    figure.tight_layout()
    plt.rcParams["svg.hashsalt"] = "fqat"
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    """Prints the figures and draws them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--most", type=int, default=10**5, help="operators of the largest model")
    parser.add_argument("--most-deep", type=int, default=10**6, help="the same for the first shape")
    parser.add_argument("--shapes", default=",".join(SHAPES))
    parser.add_argument("--plot", type=Path, help="file for the curves")
    options = parser.parse_args()
    print(f"{FQAT_OPT}: seconds of passes and proof; of the process beside load + save")
    curves: dict[str, list[tuple[int, dict[str, float]]]] = {}
    with tempfile.TemporaryDirectory(prefix="fqat-bench.") as folder:
        for shape in options.shapes.split(","):
            points = curves[shape] = []
            ops = 1000
            while ops <= (options.most_deep if shape == "deep" else options.most):
                points.append(measure(shape, ops, Path(folder)))
                count, seconds = points[-1]
                print(
                    f"{shape}, {count:,} operators: {seconds['fix']:.3f} s; process"
                    f" {seconds['process']:.2f} s, {seconds['process'] / seconds['floor']:.2f} of"
                    " load + save",
                    flush=True,
                )
                ops *= 10
            for what in ("fix", "process"):
                large = [(count, s[what]) for count, s in points]
                print(f"{shape}, {what}: operators ** {fit_exponent(large):.2f}", flush=True)
    if options.plot:
        draw(curves, options.plot)


if __name__ == "__main__":
    main()
