"""How fast fqat-opt is beside load and save of the same file, and beside pnnx.

Prints ratios: medians of interleaved runs of whole processes, proof on. Below them the share of
each phase, and memory. pnnx, the nearest peer, also writes ONNX and ncnn files, which it cannot be
told to leave out.
"""

import argparse
import shutil
import statistics
import tempfile
from pathlib import Path

import generate
from measure import (
    FLOOR,
    FQAT_OPT,
    SHARED_MODELS,
    Program,
    find_pnnx,
    get_phases,
    ratio,
    run_interleaved,
)

SHARED = ("effdet_lite0_heads", "yolov8n_train", "tv_resnet18")
# Shape, operators, megabytes, plain.
GENERATED = {
    "deep, 100 MB": ("deep", 300, 100, False),
    "shared, 200 MB": ("shared", 600, 200, False),
    "heads, 400 MB": ("heads", 300, 400, False),
    "deep, 3,000 operators": ("deep", 3000, 0, False),
    "deep, 30,000 operators, plain": ("deep", 30000, 0, True),
}
# pnnx takes minutes for this one.
WITHOUT_PNNX = {"deep, 30,000 operators, plain"}
# Over 4 GiB, so that the zip's large form is used.
BIG = ("deep, 4 GB", ("deep", 60, 4400, False))
MEGABYTE = 2**20


def collect_models(folder: Path) -> dict[str, Path]:
    """Writes the generated models and returns all, by name."""
    models = {}
    for name in SHARED:
        path = SHARED_MODELS / f"{name}.pt"
        if path.exists():
            models[name] = path
    if not models:
        print(f"without {', '.join(SHARED)}: there is no {SHARED_MODELS}")
    for name, (shape, ops, megabytes, plain) in GENERATED.items():
        models[name] = folder / f"{name.replace(' ', '_').replace(',', '')}.pt"
        generate.generate(shape, ops, models[name], megabytes=megabytes, plain=plain)
    return models


def make_programs(model: Path, folder: Path, pnnx: str | None) -> list[Program]:
    """Returns fqat-opt, the floor and pnnx, each with a file to write."""
    output = folder / "output"
    output.mkdir(exist_ok=True)
    fixed, saved = output / "fixed.pt", output / "saved.pt"
    programs = [
        Program("fqat-opt", [FQAT_OPT, "-q", str(model), "-o", str(fixed)], output=fixed),
        Program("floor", [FLOOR, str(model), str(saved)], output=saved),
    ]
    if pnnx:
        # It writes beside its input.
        copy = output / "model.pt"
        copy.unlink(missing_ok=True)
        copy.symlink_to(model)
        programs.append(Program("pnnx", [pnnx, str(copy)]))
    return programs


def measure(name: str, model: Path, folder: Path, rounds: int, pnnx: str | None) -> None:
    """Prints the lines of one model."""
    programs = make_programs(model, folder, pnnx)
    run_interleaved(programs, rounds)
    ours, floor = programs[:2]
    size = model.stat().st_size / MEGABYTE
    line = (
        f"{name} ({size:.0f} MB): {ratio(ours, floor):.2f} of load + save"
        f" ({statistics.median(ours.seconds):.2f} s)"
    )
    if pnnx:
        line += f", pnnx takes {ratio(programs[2], ours):.1f} times as long"
    print(line, flush=True)
    memory = {program.name: program.measure_memory() for program in programs}
    parts = [
        f"{who} {m.private / MEGABYTE:.0f} ({m.resident / MEGABYTE:.0f} with mapped files)"
        for who, m in memory.items()
    ]
    print(f"    private memory, MB: {', '.join(parts)}")
    phases = get_phases(model, folder / "output" / "fixed.pt")
    total = statistics.median(ours.seconds)
    shares = [f"{phase} {seconds / total:.0%}" for phase, seconds in phases.items()]
    rest = 1 - sum(phases.values()) / total
    print(f"    of the process: {', '.join(shares)}, start and end {rest:.0%}", flush=True)
    for path in (folder / "output").iterdir():
        path.unlink()


def main() -> None:
    """Prints the whole table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    pnnx = find_pnnx()
    if not pnnx:
        print("without pnnx: it is not installed (pip install --no-deps pnnx)")
    with tempfile.TemporaryDirectory(prefix="fqat-bench.") as name:
        folder = Path(name)
        for model_name, model in collect_models(folder).items():
            peer = None if model_name in WITHOUT_PNNX else pnnx
            measure(model_name, model, folder, options.rounds, peer)
        big_name, (shape, ops, megabytes, plain) = BIG
        if shutil.disk_usage(folder).free < 6 * megabytes * MEGABYTE:
            print(f"without {big_name}: too little room on the disk")
            return
        big = folder / "big.pt"
        generate.generate(shape, ops, big, megabytes=megabytes, plain=plain)
        measure(big_name, big, folder, min(options.rounds, 3), pnnx=None)


if __name__ == "__main__":
    main()
