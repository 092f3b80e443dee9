"""How long fqat-dump takes for two dumps of 2 GB, beside cmp.

Prints the medians of interleaved runs as ratios to cmp of two equal files, and the memory of its
own that the process had. The limit is 3 times cmp.
"""

import shutil
import tempfile
from pathlib import Path

import numpy as np
from measure import FQAT_OPT, Program, ratio, run_interleaved

FQAT_DUMP = str(Path(FQAT_OPT).with_name("fqat-dump"))
ROUNDS = 7
CHANNELS, HEIGHT, WIDTH = 64, 2896, 2896
# Rows that are made at a time.
STEP = 64


def write_dumps(folder: Path) -> None:
    """Writes one feature in NCHW (kit), NHWC (board) and once more in NCHW (copy)."""
    rng = np.random.default_rng(0)
    shape = (CHANNELS, HEIGHT, WIDTH)
    kit = np.memmap(folder / "kit", np.float32, "w+", shape=shape)
    with open(folder / "board", "wb") as board:
        for row in range(0, HEIGHT, STEP):
            count = min(STEP, HEIGHT - row)
            pixels = rng.standard_normal((count, WIDTH, CHANNELS), dtype=np.float32)
            pixels.tofile(board)
            kit[:, row : row + count] = pixels.transpose(2, 0, 1)
    kit.flush()
    shutil.copyfile(folder / "kit", folder / "copy")


def main() -> None:
    """Prints the table."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_dumps(folder)
        kit, board, copy = (str(folder / name) for name in ("kit", "board", "copy"))
        shape = f"--shape=1,{CHANNELS},{HEIGHT},{WIDTH}"
        compare = [FQAT_DUMP, "compare", kit]
        programs = [
            Program("cmp", ["cmp", kit, copy]),
            Program("NCHW and NHWC", [*compare, board, shape]),
            Program("NCHW and NHWC, --lsb 1", [*compare, board, shape, "--lsb=1"]),
            Program("NCHW both", [*compare, copy, shape, "--board-layout=nchw"]),
        ]
        run_interleaved(programs, ROUNDS)
        print(f"{'2 GB each, float32':<28} of cmp   private MB")
        for program in programs:
            private = program.measure_memory().private / 1e6
            print(f"{program.name:<28} {ratio(program, programs[0]):6.2f} {private:12.0f}")


if __name__ == "__main__":
    main()
