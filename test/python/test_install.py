"""What `cmake --install` installs works: the programs, the C library, the libraries of the passes.

The projects that use it are those of docs/embedding.md and docs/new-pass.md, as they stand there.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import torch
from torch import nn

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = Path(os.environ.get("FQAT_OPT", ROOT / "build" / "bin" / "fqat-opt")).resolve()
BUILD = PROGRAM.parents[1]
pytestmark = pytest.mark.skipif(
    not (BUILD / "cmake_install.cmake").exists(), reason="FQAT_OPT lies in no build folder"
)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)

    def forward(self, x):
        y = self.conv(x)
        return y.view(y.size(0), y.size(1), -1), y.size(0) * y.size(1)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A folder like a checkout that was built, and a home that it is installed into."""
    folder = tmp_path_factory.mktemp("install")
    (folder / "build").symlink_to(BUILD)
    torch.manual_seed(0)
    traced = torch.jit.trace(Net().eval(), torch.zeros(2, 3, 4, 4))
    traced.save(str(folder / "model.pt"))
    run("cmake --install build --prefix $HOME/fqat", folder)
    return folder


def run(script: str, folder: Path, **environment) -> str:
    # The second says where a program that counts its lines does so.
    kept = {k: os.environ[k] for k in ("PATH", "LLVM_PROFILE_FILE") if k in os.environ}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env={**kept, "HOME": str(folder / "home"), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def follow(page: str, folder: Path) -> str:
    """Writes the files of a page, runs its commands but for the installation, and returns
    what they print."""
    text = (ROOT / "docs" / page).read_text()
    for name, contents in re.findall(r'```\w+ title="([^"]+)"\n(.*?)```\n', text, re.DOTALL):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(contents)
    commands = re.findall(r"^    (\S.*)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.M)
    assert commands[0].startswith("cmake --install")
    return run("\n".join(commands[1:]), folder)


def test_programs_bring_their_libraries(root):
    programs = root / "home" / "fqat" / "bin"
    moved = root / "elsewhere"
    shutil.copytree(root / "home" / "fqat", moved, symlinks=True)
    for name in ("fqat-opt", "fqat-dump"):
        run(f"env -i {moved}/bin/{name} --version", root)
    libraries = run(f"ldd {programs}/fqat-opt", root)
    assert "not found" not in libraries
    # Everybody has these; all others come along.
    own = r"linux-vdso|ld-linux|lib(c|m|dl|rt|pthread|stdc\+\+|gcc_s)\.so"
    for line in libraries.splitlines():
        assert re.search(own, line) or "/home/fqat/bin/../lib/fqat/" in line, line
    run(f"env -i {moved}/bin/fqat-opt model.pt -o moved.pt -q", root)
    assert (root / "moved.pt").exists()
    shutil.rmtree(moved)


def test_manual_is_installed(root):
    share = root / "home" / "fqat" / "share"
    assert (share / "man" / "man1" / "fqat-opt.1").read_text().startswith(".TH")
    assert (share / "bash-completion" / "completions" / "fqat-opt").exists()


def test_c_library(root):
    printed = follow("embedding.md", root)
    assert re.search(r"fqat-opt [\d.]+ \(MLIR 22[\d.]+, libtorch 2[\d.]+\)", printed)
    assert "refused: --clone-params: steal not in {copy,share}\n" in printed
    assert "refused: --output is no option of a call\n" in printed
    assert "before: status 1, with R1\nafter: status 0\n" in printed
    # Nothing of LLVM, MLIR or torch is there for others to meet.
    symbols = run("nm -D --defined-only home/fqat/lib/libfqat.so | awk '{print $3}'", root)
    assert symbols and all(name.startswith("fqat") for name in symbols.split())


def test_c_header_is_plain(root):
    header = (root / "home" / "fqat" / "include" / "fqat-c" / "FQAT.h").read_text()
    # C of any age, and C++.
    (root / "old.c").write_text(header)
    run("gcc -std=c89 -pedantic-errors -Wall -Werror -fsyntax-only old.c", root)
    run("g++ -std=c++98 -Wall -Werror -fsyntax-only -x c++ old.c", root)


def test_new_pass(root):
    printed = follow("new-pass.md", root)
    assert "PASS: new-pass :: merge-sizes.mlir" in printed
    # Each of two sizes was read twice.
    for name, count in (("model", 4), ("merged", 2)):
        assert (root / f"{name}.mlir").read_text().count('"aten::size"') == count
    assert (root / "merged.pt").exists()
