"""Runs models without leaving a trace in them."""

import contextlib
import random
import re
import sys
from typing import Any, Iterable, Iterator, List, Tuple

import torch
from torch import nn

_NOP_NAME = re.compile(r"out_nop(_?\d+)?")


class OutNop(nn.Module):
    """Marks an output for the quantiser; does nothing."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the argument."""
        return x


def class_name(module: nn.Module) -> str:
    """Return the name of a module's class, also of one that is scripted."""
    return str(getattr(module, "original_name", type(module).__name__))


def is_nop(module: nn.Module, names: Iterable[str]) -> bool:
    """Return whether a module that has these names is an out_nop."""
    return class_name(module) == "OutNop" or any(_NOP_NAME.fullmatch(name) for name in names)


def copy_inputs(value: Any) -> Any:
    """Return inputs with tensors of their own: a model may write into them."""
    if isinstance(value, torch.Tensor):
        return value.detach().clone().requires_grad_(value.requires_grad)
    if isinstance(value, dict):
        return {key: copy_inputs(item) for key, item in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(copy_inputs(item) for item in value))
    if isinstance(value, (tuple, list)):
        return type(value)(copy_inputs(item) for item in value)
    return value


@contextlib.contextmanager
def kept_state(modules: Iterable[nn.Module]) -> Iterator[None]:
    """Put back, at the end, what a run may change: attributes, buffers, random states."""
    modules = list(modules)
    attributes = [dict(vars(module)) for module in modules]
    buffers = [
        [
            (name, value, None if value is None else value.clone())
            for name, value in module._buffers.items()
        ]
        for module in modules
    ]
    parameters = [p for module in modules for p in module.parameters(recurse=False)]
    gpus = sorted({p.device.index for p in parameters if p.device.type == "cuda"})
    numpy = sys.modules.get("numpy")
    numpy_state = numpy.random.get_state() if numpy is not None else None
    state = random.getstate()
    try:
        with torch.random.fork_rng(devices=gpus):
            yield
    finally:
        random.setstate(state)
        if numpy is not None:
            numpy.random.set_state(numpy_state)
        for module, saved, tensors in zip(modules, attributes, buffers):
            for name in set(vars(module)) - set(saved):
                del vars(module)[name]
            vars(module).update(saved)
            for name, tensor, value in tensors:
                if tensor is not None and value is not None:
                    with torch.no_grad():
                        tensor.copy_(value)
                module._buffers[name] = tensor


@contextlib.contextmanager
def no_fast_path() -> Iterator[None]:
    """Keep torch from operators without a derivative: the fast path of transformers."""
    mha = getattr(torch.backends, "mha", None)
    if mha is None:
        yield
        return
    was = mha.get_fastpath_enabled()
    mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        mha.set_fastpath_enabled(was)


@contextlib.contextmanager
def scripted_nops(model: nn.Module) -> Iterator[None]:
    """Have scripted modules in the place of out_nops: a trace loses the others' values.

    Only those are replaced that hold nothing and return the very tensor that they are given.
    """
    replaced: List[Tuple[nn.Module, str, nn.Module]] = []
    for owner in list(model.modules()):
        if isinstance(owner, torch.jit.ScriptModule):
            continue
        for name, child in owner._modules.items():
            if child is not None and is_nop(child, [name]) and _returns_argument(child):
                replaced.append((owner, name, child))
    try:
        for owner, name, _ in replaced:
            owner._modules[name] = torch.jit.script(OutNop())
        yield
    finally:
        for owner, name, child in replaced:
            owner._modules[name] = child


def _returns_argument(module: nn.Module) -> bool:
    """Return whether a module holds nothing and does nothing."""
    holds = module._modules or module._parameters or module._buffers or module._forward_hooks
    if holds or isinstance(module, torch.jit.ScriptModule):
        return False
    probe = torch.zeros(1)
    try:
        with kept_state([module]), torch.no_grad():
            return module(probe) is probe
    except Exception:  # of the module's own
        return False
