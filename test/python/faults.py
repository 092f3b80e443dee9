"""What the tests of bad inputs and faults share: a model, runs, and archives made by hand."""

import functools
import io
import os
import resource
import shutil
import struct
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path
from typing import NamedTuple

import torch
from conftest import ROOT
from torch import nn

PROGRAM = os.environ.get("FQAT_OPT", str(ROOT / "build" / "bin" / "fqat-opt"))
SEED = int(os.environ.get("FQAT_FUZZ_SEED", "0"))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.act = nn.SiLU()
        self.head = nn.ModuleList(nn.Conv2d(4, 2, 1) for _ in range(2))
        self.register_buffer("scale", torch.ones(5))

    def forward(self, x):
        x = self.act(self.conv(x))
        x = self.act(x + 1)
        return torch.cat([head(x).flatten(2) for head in self.head], 2)


@functools.cache  # A second trace would have a class of another name.
def trace_net() -> torch.jit.ScriptModule:
    torch.manual_seed(0)
    return torch.jit.trace(Net().eval(), torch.randn(1, 3, 8, 8))


class Run(NamedTuple):
    code: int  # Negative: the signal that ended it.
    output: str
    error: str
    memory: int  # The most that was resident, in bytes.


# A process's peak counts from the one that it was forked from: a small one.
LAUNCHER = """
import resource, subprocess, sys
code = subprocess.call(sys.argv[1:])
print()
print(code, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, end="")
"""


def run_measured(*command, seconds=10, cwd=None) -> Run:
    """Runs a program, for so many seconds of one core at most, and measures its memory."""
    done = subprocess.run(
        [sys.executable, "-ISc", LAUNCHER, *map(str, command)],
        capture_output=True,
        timeout=12 * seconds,
        cwd=cwd,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds)),
    )
    output, _, usage = done.stdout.decode(errors="replace").rpartition("\n")
    code, memory = map(int, usage.split())
    return Run(code, output, done.stderr.decode(errors="replace"), memory * 1024)


# Archives


def read_archive(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def make_archive(records: dict[str, bytes]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, contents in records.items():
            archive.writestr(name, contents)
    return made.getvalue()


class Entry(NamedTuple):
    """A record whose headers may say what is not so."""

    name: bytes
    data: bytes
    method: int = 0
    flags: int = 0
    size: int | None = None
    stored_size: int | None = None
    crc: int | None = None
    at: int | None = None  # Where another record's header stands.


def make_raw_archive(entries: list[Entry]) -> bytes:
    body, directory = b"", b""
    full = 0xFFFFFFFF
    for entry in entries:
        stored = len(entry.data) if entry.stored_size is None else entry.stored_size
        size = stored if entry.size is None else entry.size
        crc = zlib.crc32(entry.data) if entry.crc is None else entry.crc
        extra = b""
        if max(size, stored) >= full:
            extra, size, stored = struct.pack("<HHQQ", 1, 16, size, stored), full, full
        common = struct.pack("<HHHHIII", entry.flags, entry.method, 0, 33, crc, stored, size)
        common += struct.pack("<HH", len(entry.name), len(extra))
        at = len(body) if entry.at is None else entry.at
        directory += b"PK\1\2\x14\0\x14\0" + common + struct.pack("<HHHII", 0, 0, 0, 0, at)
        directory += entry.name + extra
        if entry.at is None:
            body += b"PK\3\4\x14\0" + common + entry.name + extra + entry.data
    count = len(entries)
    end = struct.pack("<HHHHIIH", 0, 0, count, count, len(directory), len(body), 0)
    return body + directory + b"PK\5\6" + end


def list_files(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


def snapshot(folder: Path) -> dict[str, bytes]:
    """The contents of all files in a folder and below it."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def restore(folder: Path, files: dict[str, bytes]) -> None:
    """Makes a folder hold these files only."""
    shutil.rmtree(folder)
    for name, contents in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(contents)
