"""The stage before training: a model goes in, one that obeys the kit's rules comes out."""

import atexit
import contextlib
import importlib.util
import itertools
import json
import os
import shutil
import sys
import tempfile
import time
import warnings
from types import ModuleType
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Tuple, Union

import torch
from torch import nn

from .findings import Finding, Place
from .live import inspect_model
from .program import FqatError, run_program
from .running import copy_inputs, kept_state, no_fast_path, scripted_nops

_numbers = itertools.count(1)

# A model as a file, as TorchScript, or as Python.
Model = Union[str, "os.PathLike[str]", nn.Module]
# Bit widths: a YAML file, or what it would hold.
Bits = Union[str, "os.PathLike[str]", Mapping[str, Mapping[str, int]]]


class _Steps:
    """Tells on standard error what is being done, if anyone wants to know."""

    def __init__(self, count: int, shows: bool) -> None:
        self.count = count
        self.shows = shows
        self.number = 0
        self.start = time.time()

    def begin(self, what: str) -> None:
        self.number += 1
        if self.shows:
            seconds = time.time() - self.start
            text = "fqat: [{}/{}] {} ({:.1f} s so far)"
            print(text.format(self.number, self.count, what, seconds), file=sys.stderr)


def _version() -> Tuple[int, int]:
    """Return the first two numbers of torch's version."""
    major, minor = torch.__version__.split(".")[:2]
    return int(major), int(minor)


def _tuple(example_inputs: Any) -> Tuple[Any, ...]:
    if isinstance(example_inputs, tuple):
        return example_inputs
    if isinstance(example_inputs, list):
        return tuple(example_inputs)
    return (example_inputs,)


def _leaves(value: Any) -> List[Any]:
    if isinstance(value, dict):
        return [leaf for part in value.values() for leaf in _leaves(part)]
    if isinstance(value, (list, tuple)):
        return [leaf for part in value for leaf in _leaves(part)]
    return [value]


def _same_bits(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Whether two tensors have equal sizes, types and bits, NaN and signed zeros included."""
    if a.shape != b.shape or a.dtype != b.dtype or a.device != b.device:
        return False
    if torch.equal(a, b) and not a.is_floating_point() and not a.is_complex():
        return True
    a = a.detach().contiguous().cpu()
    b = b.detach().contiguous().cpu()
    if a.dtype == torch.bfloat16:  # numpy has none; float32 holds its values and their signs
        a, b = a.float(), b.float()
    return bool(a.numpy().tobytes() == b.numpy().tobytes())


def find_difference(expected: Any, actual: Any) -> Optional[str]:
    """Say where what two models return differs first; None if it does not."""
    a, b = _leaves(expected), _leaves(actual)
    if len(a) != len(b):
        return "{} values are returned, not {}".format(len(b), len(a))
    for i, (x, y) in enumerate(zip(a, b)):
        if isinstance(x, torch.Tensor) and isinstance(y, torch.Tensor):
            if x.shape != y.shape or x.dtype != y.dtype:
                text = "output {} is {} of {}, not {} of {}"
                return text.format(i, tuple(y.shape), y.dtype, tuple(x.shape), x.dtype)
            if not _same_bits(x, y):
                worst = (x.double() - y.double()).abs().max().item()
                return "output {} differs, by {} at most".format(i, worst)
        elif type(x) is not type(y) or x != y:
            return "output {} is {!r}, not {!r}".format(i, y, x)
    return None


@contextlib.contextmanager
def _quiet_run(model: nn.Module) -> Iterator[None]:
    """Run a model without gradients, and leave it as it was."""
    with kept_state(model.modules()), no_fast_path(), torch.no_grad():
        yield


def _trace(model: nn.Module, example_inputs: Any, path: str) -> None:
    """Trace a model in the mode that it is in, and save the trace."""
    try:
        with _quiet_run(model), scripted_nops(model), warnings.catch_warnings():
            # It warns of each number that it takes for a constant.
            warnings.simplefilter("ignore")
            traced = torch.jit.trace(
                model, copy_inputs(_tuple(example_inputs)), strict=False, check_trace=False
            )
    except RuntimeError as error:
        # Of torch, or of the model's own forward, which no trace survives either.
        raise FqatError("the model cannot be traced: {}".format(error)) from error
    # Its tensors are the model's, which are as they were again.
    traced.save(path)


def _save(model: Model, example_inputs: Any, folder: str) -> str:
    """Return the path of a model's TorchScript file, written into `folder` if need be."""
    if not isinstance(model, nn.Module):
        return os.fspath(model)
    path = os.path.join(folder, "model.pt")
    if isinstance(model, torch.jit.ScriptModule):
        model.save(path)
    elif example_inputs is None:
        raise TypeError("a Python model is traced: example_inputs are needed")
    else:
        _trace(model, example_inputs, path)
    return path


def _exclude(globs: Any) -> List[str]:
    """Return the command line of instances whose ops are no layers: no glob, one, or several."""
    if not globs:
        return []
    return ["--exclude", globs if isinstance(globs, str) else ",".join(globs)]


def _options(
    folder: str, exclude: Any, bits: Optional[Bits], nop_instances: str, clone_params: str
) -> List[str]:
    """Return the command line of what several functions take."""
    arguments = ["--nop-instances", nop_instances, "--clone-params", clone_params]
    arguments += _exclude(exclude)
    if isinstance(bits, Mapping):
        path = os.path.join(folder, "bits.yaml")
        with open(path, "w", encoding="utf-8") as file:
            json.dump({name: dict(widths) for name, widths in bits.items()}, file)
        arguments += ["--bits", path]
    elif bits is not None:
        arguments += ["--bits", os.fspath(bits)]
    return arguments


def check(
    model: Model, example_inputs: Any = None, *, exclude: Any = None, fqat_opt: Optional[str] = None
) -> List[Finding]:
    """Return what breaks the kit's rules in a model.

    Args:
        model: A TorchScript file, a script module, or a Python module. Of the last, what tracing
            does not see is found too: see `fqat.live.inspect_model`.
        example_inputs: What a Python module is traced with: a tuple of arguments, or the one.
        exclude: Globs of instances whose ops are no layers, one or several.
        fqat_opt: The program, see `fqat.program.find_program`.

    Raises:
        FqatError: If the model cannot be read.
        TypeError: If a Python module comes without inputs.
    """
    findings: List[Finding] = []
    with tempfile.TemporaryDirectory(prefix="fqat-") as folder:
        path = _save(model, example_inputs, folder)
        report = os.path.join(folder, "report.json")
        arguments = ["--check", "--quiet", "--report", report, path]
        run_program(arguments + _exclude(exclude), fqat_opt, accepted=(0, 1))
        with open(report, encoding="utf-8") as file:
            found = json.load(file)["findings"]
    for entry in found:
        parts = {name: entry[name] for name in Finding._fields}
        parts["related"] = [
            Place(**{name: place[name] for name in Place._fields}) for place in entry["related"]
        ]
        findings.append(Finding(**parts))
    if isinstance(model, nn.Module) and not isinstance(model, torch.jit.ScriptModule):
        # One cause is one finding, whoever finds it.
        known = {(finding.rule, finding.instance) for finding in findings}
        findings += [
            finding
            for finding in inspect_model(model, example_inputs)
            if (finding.rule, finding.instance) not in known
        ]
    return findings


def fix(
    model: Model,
    example_inputs: Any = None,
    *,
    output: Optional[Union[str, "os.PathLike[str]"]] = None,
    exclude: Any = None,
    bits: Optional[Bits] = None,
    nop_instances: str = "each",
    clone_params: str = "copy",
    fqat_opt: Optional[str] = None,
) -> torch.jit.ScriptModule:
    """Return a model that obeys the rules and computes the same bits, as TorchScript.

    Args:
        model: A TorchScript file, a script module, or a Python module that is traced first.
        example_inputs: What a Python module is traced with: a tuple of arguments, or the one.
        output: Where the file is written, besides.
        exclude: Globs of instances whose ops are no layers, one or several.
        bits: Bit widths by instance, as fqat-opt's ``--bits`` takes them: a file, or a dict
            ``{"model.22.*": {"feature": 8, "weight": 4}}``.
        nop_instances: ``each`` crossing value has an out_nop, or those of one ``owner`` share.
        clone_params: Clones ``copy`` the weights, or ``share`` them.
        fqat_opt: The program, see `fqat.program.find_program`.

    Raises:
        FqatError: If the model cannot be read, obey the rules, or be proved.
        TypeError: If a Python module comes without inputs.
    """
    with tempfile.TemporaryDirectory(prefix="fqat-") as folder:
        path = _save(model, example_inputs, folder)
        written = os.path.join(folder, "fixed.pt") if output is None else os.fspath(output)
        arguments = ["--quiet", path, "-o", written]
        arguments += _options(folder, exclude, bits, nop_instances, clone_params)
        run_program(arguments, fqat_opt)
        return torch.jit.load(written)


def load_package(folder: Union[str, "os.PathLike[str]"]) -> ModuleType:
    """Import the package in a folder under a name of its own."""
    name = "fqat_model_{}".format(next(_numbers))
    spec = importlib.util.spec_from_file_location(
        name, os.path.join(folder, "__init__.py"), submodule_search_locations=[os.fspath(folder)]
    )
    assert spec is not None and spec.loader is not None
    package = importlib.util.module_from_spec(spec)
    # Pickles and copies of the model look for its classes there.
    sys.modules[name] = package
    spec.loader.exec_module(package)
    return package


def _build(package: ModuleType, arguments: Dict[str, Any]) -> nn.Module:
    """Make the model of a package; the first values that layers draw are not kept."""
    random = torch.get_rng_state()
    try:
        return package.build(**arguments)
    except KeyError as error:
        raise FqatError(
            "what stands in for a class of torch.nn must hold its weights: {}".format(error.args[0])
        ) from error
    finally:
        torch.set_rng_state(random)


def _match(prepared: nn.Module, model: nn.Module) -> None:
    """Give the prepared model what a TorchScript file does not tell of the original."""
    originals = _by_name(model)
    for name, module in _by_name(prepared).items():
        source = _find_source(name, originals)
        owner = source
        # What is new follows the module that it is in.
        parent = name
        while owner is None:
            parent = parent.rpartition(".")[0]
            owner = _find_source(parent, originals)
        module.training = owner.training
        if source is not None and hasattr(source, "_non_persistent_buffers_set"):
            hidden = source._non_persistent_buffers_set
            module._non_persistent_buffers_set.update(hidden.intersection(module._buffers))


def _find_source(name: str, originals: Dict[str, nn.Module]) -> Optional[nn.Module]:
    """Return the module that a module of a prepared model is, or is a clone of."""
    path = ""
    for part in name.split(".") if name else []:
        start = path + "." if path else ""
        path = start + part
        if path not in originals:
            # Clones are called what they come from, with a number.
            path = start + part.rstrip("0123456789").rstrip("_")
    return originals.get(path)


def _by_name(model: nn.Module, prefix: str = "") -> Dict[str, nn.Module]:
    """Return all modules by all their paths: `named_modules` tells one path of each."""
    found = {prefix: model}
    for name, child in model._modules.items():
        if child is not None:
            found.update(_by_name(child, prefix + "." + name if prefix else name))
    return found


def _compare(model: nn.Module, plain: nn.Module, example_inputs: Any) -> None:
    """Raise unless two models return the same bits, and leave both as they were."""
    inputs = _tuple(example_inputs)
    results = []
    for side in (model, plain):
        with _quiet_run(side):
            torch.manual_seed(0)
            results.append(side(*copy_inputs(inputs)))
    difference = find_difference(*results)
    if difference is not None:
        raise FqatError(
            "the prepared model computes something else than the original: {}. Does its forward "
            "depend on values, which tracing does not see?".format(difference)
        )


def prepare(
    model: nn.Module,
    example_inputs: Any,
    *,
    mode: str = "ops",
    nop: Optional[Callable[[], nn.Module]] = None,
    ops: Optional[Mapping[str, Callable[..., nn.Module]]] = None,
    bits: Optional[Bits] = None,
    exclude: Any = None,
    nop_instances: str = "each",
    clone_params: str = "copy",
    folder: Optional[Union[str, "os.PathLike[str]"]] = None,
    fqat_opt: Optional[str] = None,
    progress: bool = False,
) -> nn.Module:
    """Return a Python model that obeys the kit's rules, computes the same bits, and trains.

    The model is traced in the mode that it is in, fixed and proved by fqat-opt, written as
    Python, loaded, and compared with the original on the inputs. Names in its ``state_dict`` are
    the original's, with those of clones added; devices, dtypes, training flags, ``requires_grad``
    and which buffers are persistent are kept. The original is left as it was; no tensor is
    shared with it. The model has the attribute ``fqat_groups``: for each layer, in the order in
    which they run, the paths of the layer, of its batch norm and of its activation (or None).

    Args:
        model: The model.
        example_inputs: What it is traced with: a tuple of arguments, or the one. Sizes that the
            Python code computes with are those of these inputs from now on.
        mode: The kit's mode. ``ops``: layers of the kit stand in for those of torch.nn, on any
            torch (1.6 or later is advised). ``fx``: the kit traces the model itself, torch 1.8 or
            later; it is checked that torch.fx can.
        nop: Makes an out_nop.
        ops: What stands in for a class of torch.nn, by its name: ``{"Conv2d": kit.Conv2D}``. It
            is called as the class is, and gets ``feature_bits`` and ``weight_bits`` as well where
            `bits` tells them. It must hold the same weights under the same names.
        bits: Bit widths by instance, see `fix`.
        exclude: Globs of instances whose ops are no layers, one or several.
        nop_instances: ``each`` crossing value has an out_nop, or those of one ``owner`` share.
        clone_params: Clones ``copy`` the weights, or ``share`` them.
        folder: Where the package is written, to be read or kept. By default it is gone when the
            process ends.
        fqat_opt: The program, see `fqat.program.find_program`.
        progress: Whether each step is told on standard error.

    Raises:
        FqatError: If the model cannot be traced, obey the rules, be proved, or does not compute
            the same bits, and where the mode does not go with this torch.
        TypeError: If the model is TorchScript.
        ValueError: If there is no such mode, or no class of torch.nn that `ops` names.
    """
    if mode not in ("ops", "fx"):
        raise ValueError("mode must be 'ops' or 'fx', not {!r}".format(mode))
    if mode == "fx" and _version() < (1, 8):
        raise FqatError(
            "the mode 'fx' needs torch 1.8 or later, and this is {}; take the mode 'ops'".format(
                torch.__version__
            )
        )
    if mode == "ops" and _version() < (1, 6):
        warnings.warn(
            "torch 1.6 or later is advised, and this is {}".format(torch.__version__),
            stacklevel=2,
        )
    if isinstance(model, torch.jit.ScriptModule):
        raise TypeError("this is TorchScript already: fqat.fix takes it")
    unknown = [name for name in ops or () if not hasattr(nn, name)]
    if unknown:
        raise ValueError("torch.nn has no {}".format(", ".join(unknown)))
    steps = _Steps(5, progress)
    with tempfile.TemporaryDirectory(prefix="fqat-") as scratch:
        steps.begin("tracing")
        path = os.path.join(scratch, "model.pt")
        _trace(model, example_inputs, path)
        steps.begin("fixing and proving")
        if folder is None:
            kept = tempfile.mkdtemp(prefix="fqat-model-")
            atexit.register(shutil.rmtree, kept, ignore_errors=True)
            package = os.path.join(kept, "model")
        else:
            package = os.fspath(folder)
        arguments = ["--quiet", "--emit", "python", path, "-o", package]
        arguments += _options(scratch, exclude, bits, nop_instances, clone_params)
        run_program(arguments, fqat_opt)
    steps.begin("loading")
    module = load_package(package)
    plain = _build(module, {})
    _match(plain, model)
    steps.begin("comparing")
    _compare(model, plain, example_inputs)
    if mode == "fx":
        from torch import fx

        try:
            fx.symbolic_trace(plain)
        except Exception as error:
            raise FqatError("torch.fx cannot trace the model: {}".format(error)) from error
    steps.begin("building")
    if nop is None and not ops:
        return plain
    makers: Dict[str, Any] = {}
    if nop is not None:
        makers["nop"] = nop
    prepared = _build(module, dict(makers, ops=dict(ops or {})))
    _match(prepared, model)
    return prepared
