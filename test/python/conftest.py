"""What the tests of the whole share: the program, FileCheck, and bitwise comparison."""

import os
import shutil
import struct
import subprocess
import zipfile
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]
SHARED_MODELS = ROOT.parent / "shared" / "models"
FILECHECK_NAMES = ("FileCheck", "FileCheck-22")


class Tool:
    """Runs fqat-opt on files in one folder."""

    def __init__(self, program: str, folder: Path) -> None:
        self.program = program
        self.folder = folder

    def run(self, *arguments, expect: int = 0) -> subprocess.CompletedProcess:
        result = subprocess.run(
            [self.program, *map(str, arguments)], capture_output=True, text=True, timeout=300
        )
        assert result.returncode == expect, (
            f"exit {result.returncode}\n{result.stdout}\n{result.stderr}"
        )
        return result

    def trace(self, model, inputs, name="model.pt") -> Path:
        path = self.folder / name
        with torch.no_grad():
            traced = torch.jit.trace(model, inputs, strict=False, check_trace=False)
        traced.save(str(path))
        return path

    def fix(self, path: Path, *arguments) -> Path:
        output = path.with_name(path.stem + ".fixed.pt")
        self.run(path, "-o", output, "-q", *arguments)
        return output

    def emit_mlir(self, path: Path, *arguments) -> str:
        return self.run(path, "--emit", "mlir", "--elide-weights", "-q", *arguments).stdout


@pytest.fixture
def tool(tmp_path) -> Tool:
    program = os.environ.get("FQAT_OPT", str(ROOT / "build" / "bin" / "fqat-opt"))
    assert Path(program).exists(), f"{program} is not built"
    return Tool(program, tmp_path)


@pytest.fixture
def filecheck(tmp_path):
    """Checks a text with FileCheck directives."""
    program = next(filter(None, map(shutil.which, FILECHECK_NAMES)), None)
    program = program or "/usr/lib/llvm-22/bin/FileCheck"

    def check(text: str, directives: str) -> None:
        checks = tmp_path / "checks.txt"
        checks.write_text(directives)
        result = subprocess.run(
            [program, "-enable-var-scope", str(checks)], input=text, capture_output=True, text=True
        )
        assert result.returncode == 0, result.stderr

    return check


def bits(tensor: torch.Tensor) -> bytes:
    tensor = tensor.detach().resolve_conj().resolve_neg().contiguous()
    if tensor.is_complex():
        tensor = torch.view_as_real(tensor).contiguous()
    return tensor.reshape(-1).view(torch.uint8).numpy().tobytes()


def assert_same(a, b, where="output") -> None:
    """Asserts that two results are equal: structure, dtypes, shapes and bits."""
    if isinstance(a, torch.Tensor):
        assert a.dtype == b.dtype and a.shape == b.shape and a.layout == b.layout, where
        if a.layout == torch.sparse_coo:
            assert_same(a._indices(), b._indices(), f"{where}: indices")
            assert_same(a._values(), b._values(), f"{where}: values")
            return
        if a.is_quantized:
            assert torch.equal(a, b), where
            assert_same(a.int_repr(), b.int_repr(), f"{where}: integers")
            return
        assert bits(a) == bits(b), f"{where}: the bits differ"
    elif isinstance(a, dict):
        assert list(a) == list(b), where
        for key in a:
            assert_same(a[key], b[key], f"{where}[{key!r}]")
    elif isinstance(a, (list, tuple)):
        # Each loaded file has named tuples of its own.
        assert getattr(a, "_fields", type(a)) == getattr(b, "_fields", type(b)), where
        assert len(a) == len(b), where
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_same(x, y, f"{where}[{i}]")
    elif isinstance(a, float):
        assert struct.pack("d", a) == struct.pack("d", b), where
    else:
        assert a == b, where


def assert_equivalent(original: Path, fixed: Path, inputs: tuple) -> None:
    """Asserts that a fixed file computes what the original does and lost no state."""
    before, after = torch.jit.load(str(original)), torch.jit.load(str(fixed))
    old, new = before.state_dict(), after.state_dict()
    assert [key for key in new if key in old] == list(old), "a key or the order of keys is lost"
    for key, value in old.items():
        assert_same(value, new[key], key)
    parameters = dict(after.named_parameters(remove_duplicate=False))
    for key, value in before.named_parameters(remove_duplicate=False):
        assert parameters[key].requires_grad == value.requires_grad, key

    def copy(values):
        return tuple(v.clone() if isinstance(v, torch.Tensor) else v for v in values)

    with torch.no_grad():
        first, second = copy(inputs), copy(inputs)
        torch.manual_seed(0)
        expected = before(*first)
        torch.manual_seed(0)
        actual = after(*second)
    assert_same(expected, actual)
    assert_same(first, second, "input afterwards")
    for key, value in before.state_dict().items():
        assert_same(value, after.state_dict()[key], f"{key} after a run")


def records(path: Path) -> dict[str, bytes]:
    """The records of an archive, without the folder that they lie in."""
    with zipfile.ZipFile(path) as archive:
        return {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}
