"""What the tests of emitted packages share: the program, packages, and comparison bit by bit."""

import copy
import itertools
import os
import subprocess
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

import pytest
import torch
from torch import nn

from fqat.stage import load_package

PROGRAM = os.environ.get("FQAT_OPT", "")
SHARED_MODELS = Path(__file__).resolve().parents[3] / "shared" / "models"
_numbers = itertools.count()


def start(*arguments: object) -> "subprocess.Popen[str]":
    """Starts fqat-opt."""
    command = [PROGRAM, *map(str, arguments)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True
    )


def finish(process: "subprocess.Popen[str]", expect: int = 0) -> str:
    """Waits for fqat-opt and returns what it said."""
    text, _ = process.communicate(timeout=300)
    assert process.returncode == expect, "exit {}\n{}".format(process.returncode, text)
    return text


def run(*arguments: object, expect: int = 0) -> str:
    """Runs fqat-opt and returns what it said."""
    return finish(start(*arguments), expect)


def save_trace(model: nn.Module, inputs: Tuple[Any, ...], path: Path) -> None:
    """Traces a model, whose state the run may change; scripted ones are saved as they are."""
    if not isinstance(model, torch.jit.ScriptModule):
        with torch.no_grad():
            model = torch.jit.trace(model, copy.deepcopy(inputs), strict=False, check_trace=False)
    model.save(str(path))


class Emitted:
    """A TorchScript file, and the package and the fixed file that fqat-opt makes of it."""

    def __init__(
        self, source: Path, folder: Path, inputs: Tuple[Any, ...], arguments: Tuple[str, ...] = ()
    ) -> None:
        """Writes the package of a file into a folder."""
        self.source, self.folder, self.inputs, self.arguments = source, folder, inputs, arguments
        self.package = folder / "package"
        emission = start(source, "-q", "--emit", "python", "-o", self.package, *arguments)
        self._fixed = folder / "model.fixed.pt"
        fix = start(source, "-q", "-o", self._fixed, *arguments)
        finish(emission)
        finish(fix)

    @property
    def text(self) -> str:
        """What model.py says."""
        return (self.package / "model.py").read_text(encoding="utf-8")

    def load_fixed(self) -> torch.jit.ScriptModule:
        """Loads the fixed file."""
        return torch.jit.load(str(self._fixed))

    def build(self, **arguments: Any) -> Any:
        """Makes the model; nobody else has its classes."""
        return load_package(self.package).build(**arguments)

    def run(self, model: Callable[..., Any]) -> Any:
        """Runs a model on copies of the inputs, always with the same random numbers."""
        torch.manual_seed(0)
        with torch.no_grad():
            return model(*copy.deepcopy(self.inputs))


@pytest.fixture
def emit(tmp_path: Path) -> Callable[..., Emitted]:
    """Emits a model: `emit(model, inputs, *options)`."""
    if not PROGRAM:
        pytest.skip("FQAT_OPT does not name the program")

    def make(model: nn.Module, inputs: Any, *arguments: str) -> Emitted:
        inputs = inputs if isinstance(inputs, tuple) else (inputs,)
        folder = tmp_path / "emitted_{}".format(next(_numbers))
        folder.mkdir()
        source = folder / "model.pt"
        save_trace(model, inputs, source)
        return Emitted(source, folder, inputs, arguments)

    return make


def leaves(value: Any) -> List[Any]:
    """The parts of a result, with a mark for each structure that they are in."""
    if isinstance(value, dict):
        parts = [part for item in value.items() for part in item]
    elif isinstance(value, (list, tuple)):
        parts = list(value)
    else:
        return [value]
    kind = type(value).__name__
    return [(kind, len(parts)), *(leaf for part in parts for leaf in leaves(part))]


def content(value: Any) -> Any:
    """What two equal leaves have in common: of tensors type, sizes and bits."""
    if not isinstance(value, torch.Tensor):
        return repr(value)  # tells 0.0 from -0.0, and is equal for NaN
    tensor = value.detach().resolve_conj().resolve_neg().contiguous()
    plain = torch.view_as_real(tensor) if tensor.is_complex() else tensor
    raw = plain.reshape(-1).view(torch.uint8).numpy().tobytes() if plain.numel() else b""
    return value.dtype, tuple(value.shape), raw


def difference(expected: Any, actual: Any) -> Optional[str]:
    """Says where two results differ first."""
    a, b = leaves(expected), leaves(actual)
    if len(a) != len(b):
        return "{} parts, not {}".format(len(b), len(a))
    for i, (x, y) in enumerate(zip(a, b)):
        if content(x) != content(y):
            return "part {} is {}, not {}".format(i, str(y)[:200], str(x)[:200])
    return None


def describe_state(model: nn.Module) -> Dict[str, Tuple[Any, ...]]:
    """What a model's tensors are, other than their bits: which share memory, and how they lie."""
    storages: Dict[int, int] = {}
    result = {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        storage = tensor.untyped_storage().data_ptr()
        number = storages.setdefault(storage or -len(storages), len(storages))
        place = (number, tensor.storage_offset(), tensor.stride())
        kind = isinstance(tensor, nn.Parameter) or isinstance(model, torch.jit.ScriptModule)
        result[name] = (tensor.dtype, tuple(tensor.shape), tensor.requires_grad, place, kind)
    return result


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Runs a test in one thread: small layers are slower in more."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class KitConv(nn.Conv2d):
    """A layer of a kit: weights under the same names, and state of its own."""

    def __init__(
        self,
        *arguments: Any,
        feature_bits: Optional[int] = None,
        weight_bits: Optional[int] = None,
        **options: Any,
    ) -> None:
        """Makes a layer; the widths are kept."""
        super().__init__(*arguments, **options)
        self.bits = (feature_bits, weight_bits)
        self.register_buffer("range", torch.ones(1))
