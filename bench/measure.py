"""Runs programs side by side and measures their time and memory."""

import importlib.util
import os
import re
import shutil
import statistics
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SHARED_MODELS = ROOT.parent / "shared" / "models"
FQAT_OPT = os.environ.get("FQAT_OPT", str(ROOT / "build" / "bin" / "fqat-opt"))
FLOOR = str(Path(FQAT_OPT).with_name("fqat-bench-floor"))


def find_pnnx() -> str | None:
    """Returns the program in the package pnnx, not the script that starts Python first."""
    package = importlib.util.find_spec("pnnx")
    if package is None or package.origin is None:
        return None
    return shutil.which(Path(package.origin).with_name("pnnx"))


@dataclass
class Memory:
    """The most that a process had at a time, in bytes: of its own, and mapped files included."""

    private: int = 0
    resident: int = 0


@dataclass
class Program:
    """A program with its arguments, and what was measured of it."""

    name: str
    command: list[str]
    seconds: list[float] = field(default_factory=list)
    # Made anew by each run: to give back the room of a large file takes its time too.
    output: Path | None = None

    def run(self) -> float:
        """Runs it to its end and returns the seconds."""
        if self.output:
            self.output.unlink(missing_ok=True)
        start = time.perf_counter()
        subprocess.run(self.command, check=True, capture_output=True)
        return time.perf_counter() - start

    def measure_memory(self) -> Memory:
        """Runs it and looks at its memory every 2 ms."""
        memory = Memory()
        with open(os.devnull, "w") as nothing:
            process = subprocess.Popen(self.command, stdout=nothing, stderr=nothing)
            while process.poll() is None:
                try:
                    status = Path(f"/proc/{process.pid}/status").read_text()
                except OSError:
                    break
                if found := re.search(r"RssAnon:\s+(\d+) kB", status):
                    memory.private = max(memory.private, int(found[1]) * 1024)
                if found := re.search(r"VmHWM:\s+(\d+) kB", status):
                    memory.resident = max(memory.resident, int(found[1]) * 1024)
                time.sleep(0.002)
            process.wait()
        return memory


def run_interleaved(programs: list[Program], rounds: int) -> None:
    """Runs the programs in turn, `rounds` times after a warm-up, and notes the seconds."""
    for i in range(rounds + 1):
        for program in programs:
            seconds = program.run()
            if i != 0:
                program.seconds.append(seconds)


def ratio(program: Program, base: Program) -> float:
    """Returns the median of the ratios round by round."""
    return statistics.median(a / b for a, b in zip(program.seconds, base.seconds, strict=True))


def get_phases(model: Path, output: Path) -> dict[str, float]:
    """Returns the seconds of each phase of fqat-opt."""
    result = subprocess.run(
        [FQAT_OPT, "-q", "-v", str(model), "-o", str(output)],
        check=True,
        capture_output=True,
        text=True,
    )
    phases = re.findall(r": ([a-z ]+): ([0-9.]+) s$", result.stderr, re.MULTILINE)
    return {name: float(seconds) for name, seconds in phases}
