"""Finds in a live model what breaks the rules of the kit and what a traced file no longer shows.

What is looked at are the objects themselves, before anything is traced: which module object is held
twice, what an instance has in place of its class's ``forward``, which hooks there are. With example
inputs the model also runs once, to count the calls.
"""

import ast
import contextlib
import inspect
import os
import sys
from types import FrameType, FunctionType, MethodType
from typing import (
    Any,
    Callable,
    Dict,
    Iterator,
    List,
    NamedTuple,
    Optional,
    Tuple,
    Type,
)

import torch
from torch import nn

from fqat.findings import Finding, Place
from fqat.running import class_name, copy_inputs, is_nop, kept_state

_TORCH = os.path.dirname(torch.__file__) + os.sep

# A file and a line; None where the source is not available.
_Location = Tuple[Optional[str], Optional[int]]
_NOWHERE = (None, None)


class _Holder(NamedTuple):
    """Who has a module as an attribute: a module, by its first path."""

    path: str
    module: nn.Module
    name: str

    def __str__(self) -> str:
        return "{}.{}".format(self.path, self.name) if self.path else self.name


def inspect_model(model: nn.Module, example_inputs: Any = None) -> List[Finding]:
    """Find what tracing cannot see.

    With example inputs, the model runs once, in the mode that it is in, without gradients.
    Afterwards its buffers, its attributes, the random numbers to come and the inputs are as they
    were; what forward changes inside an attribute, such as a list that grows, stays changed.

    Args:
        model: The model, before it is traced.
        example_inputs: A tensor, a tuple of arguments or a dict of named ones.

    Returns:
        The findings: R5, R4, R2, then notes.
    """
    tree = _Tree(model)
    calls = _count_calls(model, tree, example_inputs) if example_inputs is not None else None
    found = list(_replaced_forwards(tree))
    found += _shared_modules(tree, calls)
    if calls is not None:
        found += _repeated_calls(tree, calls)
    found += _lists(tree)
    found += _hooks(tree)
    return sorted(found, key=lambda finding: finding.severity == "note")


class _Tree:
    """The modules of a model, each object once.

    Attributes:
        paths: The first path of each, as ``named_modules()`` has it.
        holders: Who holds which.
        class_attributes: Which are attributes of a class, and of which.
    """

    def __init__(self, model: nn.Module) -> None:
        self.paths: Dict[nn.Module, str] = {}
        self.holders: Dict[nn.Module, List[_Holder]] = {}
        self.class_attributes: Dict[nn.Module, Tuple[type, str]] = {}
        for path, module in model.named_modules():
            self.paths[module] = path
        for module, path in self.paths.items():
            for name, child in module._modules.items():
                if child is not None:
                    self.holders.setdefault(child, []).append(_Holder(path, module, name))
            self._add_class_attributes(module, path)

    def _add_class_attributes(self, module: nn.Module, path: str) -> None:
        seen = set()
        for cls in type(module).__mro__:
            for name, value in vars(cls).items():
                if not isinstance(value, nn.Module) or name in seen:
                    continue
                seen.add(name)
                self.class_attributes.setdefault(value, (cls, name))
                # Held by no instance, it may be called as self.name(x).
                if _calls_attribute(type(module), name):
                    self.holders.setdefault(value, []).append(_Holder(path, module, name))


def _show(path: str) -> str:
    return path or "<root>"


# R5 -----------------------------------------------------------------------------------------------


def _replaced_forwards(tree: _Tree) -> Iterator[Finding]:
    """Find instances with a forward of their own, those of one class and one function together."""
    groups: Dict[Tuple[type, str], List[str]] = {}
    for module, path in tree.paths.items():
        forward = vars(module).get("forward")
        if forward is not None and not isinstance(module, torch.jit.ScriptModule):
            name = getattr(forward, "__name__", type(forward).__name__)
            groups.setdefault((type(module), name), []).append(path)
    for (cls, name), (path, *others) in groups.items():
        file, line = _attribute_location(cls, "forward")
        message = "{} ({}) runs {}, which the instance has in place of its class's forward"
        yield Finding(
            "R5",
            "error",
            "other-method",
            _show(path),
            file,
            line,
            message.format(_show(path), cls.__name__, name),
            "let a real def forward in {} call {}".format(cls.__name__, name),
            [Place(_show(other), file, line, "so does " + _show(other)) for other in others],
        )


# R4 -----------------------------------------------------------------------------------------------


def _shared_modules(
    tree: _Tree, calls: Optional[Dict[nn.Module, List[_Location]]]
) -> Iterator[Finding]:
    """Find objects that several attributes hold."""
    for module, holders in tree.holders.items():
        if len(holders) < 2:
            continue
        names = [holder.name for holder in holders]
        first, *others = holders
        places = [_attribute_location(type(holder.module), holder.name) for holder in holders]
        name = class_name(module)
        where = places[0]
        if module in tree.class_attributes:
            owner, attribute = tree.class_attributes[module]
            message = "one {} object, the class attribute {}.{}, is held by {} modules".format(
                name, owner.__name__, attribute, len(holders)
            )
            remedy = "give each its own in __init__: copy.deepcopy(self.{})".format(attribute)
            where = _class_attribute_location(owner, attribute)
        else:
            message = "one {} object has {} names".format(name, len(holders))
            remedy = "make one for each of them in __init__"
        is_marker = is_nop(module, names)
        if calls is not None and module in calls:
            message += " and is called {} times".format(len(calls[module]))
        is_counted = calls is not None and not isinstance(module, torch.jit.ScriptModule)
        is_harmless = is_counted and len((calls or {}).get(module, ())) < 2
        yield Finding(
            "R4",
            "note" if is_marker or is_harmless else "error",
            "shared-nop" if is_marker else "shared-module",
            str(first),
            where[0],
            where[1],
            message,
            remedy,
            [
                Place(str(holder), file, line, "the same object")
                for holder, (file, line) in zip(others, places[1:])
            ],
        )


def _repeated_calls(tree: _Tree, calls: Dict[nn.Module, List[_Location]]) -> Iterator[Finding]:
    """Find modules that are called more often than who holds them."""
    for module, places in calls.items():
        holders = tree.holders.get(module, [])
        if len(holders) > 1:
            continue  # see `_shared_modules`
        owner = holders[0].module if holders else None
        while owner is not None and owner not in calls:  # an nn.ModuleList
            above = tree.holders.get(owner, [])
            owner = above[0].module if above else None
        if len(places) <= (len(calls[owner]) if owner is not None else 1):
            continue
        path = tree.paths.get(module, str(holders[0]) if holders else "")
        is_marker = is_nop(module, [holder.name for holder in holders])
        (file, line), *others = sorted(set(places), key=places.index)
        yield Finding(
            "R4",
            "note" if is_marker else "error",
            "shared-nop" if is_marker else "repeated-call",
            _show(path),
            file,
            line,
            "{} ({}) is called {} times".format(_show(path), class_name(module), len(places)),
            "make a module for each call in __init__",
            [Place(_show(path), *other, message="it is called again here") for other in others],
        )


def _count_calls(
    model: nn.Module, tree: _Tree, example_inputs: Any
) -> Dict[nn.Module, List[_Location]]:
    """Run the model and note from where each module is called."""
    calls: Dict[nn.Module, List[_Location]] = {}

    def note(module: nn.Module, inputs: Any) -> None:
        calls.setdefault(module, []).append(_caller(sys._getframe(1)))

    with contextlib.ExitStack() as stack:
        stack.enter_context(kept_state(list({**tree.paths, **tree.class_attributes})))
        stack.enter_context(torch.no_grad())
        for module in {**tree.paths, **tree.class_attributes}:
            if not isinstance(module, torch.jit.ScriptModule):  # those refuse hooks
                stack.callback(module.register_forward_pre_hook(note).remove)
        inputs = copy_inputs(example_inputs)
        if isinstance(inputs, dict):
            model(**inputs)
        else:
            model(*(inputs if isinstance(inputs, (tuple, list)) else (inputs,)))
    return calls


def _caller(frame: Optional[FrameType]) -> _Location:
    """The innermost line outside of torch."""
    while frame is not None:
        file = frame.f_code.co_filename
        if not file.startswith(_TORCH):
            return (file, frame.f_lineno) if os.path.exists(file) else _NOWHERE
        frame = frame.f_back
    return _NOWHERE


# R2 -----------------------------------------------------------------------------------------------


def _lists(tree: _Tree) -> Iterator[Finding]:
    """Find ``list()`` in what the forward of the model's own classes runs."""
    seen = set()
    for module, path in tree.paths.items():
        if isinstance(module, torch.jit.ScriptModule):
            continue
        for function in _running(module):
            if function.__code__ in seen:
                continue
            seen.add(function.__code__)
            if "list" in function.__globals__ or "list" in function.__code__.co_varnames:
                continue  # another function of that name
            tree_of, file, offset = _parse(function)
            for node in ast.walk(tree_of):
                if isinstance(node, ast.Call) and _name(node.func) == "list":
                    yield Finding(
                        "R2",
                        "error",
                        "list",
                        _show(path),
                        file,
                        node.lineno + offset,
                        "list() runs in {} of {}".format(function.__name__, class_name(module)),
                        "start with x = [] and x.append() each element",
                    )


def _running(module: nn.Module) -> List[FunctionType]:
    """forward, and the methods and functions outside of torch that it calls."""
    found: List[FunctionType] = []
    _add_function(found, getattr(module, "forward", None))
    for function in found:
        for node in ast.walk(_parse(function)[0]):
            if not isinstance(node, ast.Call):
                continue
            if isinstance(node.func, ast.Name):
                _add_function(found, function.__globals__.get(node.func.id))
            elif isinstance(node.func, ast.Attribute) and _name(node.func.value) == "self":
                _add_function(found, inspect.getattr_static(module, node.func.attr, None))
    return found


def _add_function(found: List[FunctionType], value: Any) -> None:
    """Add a function, and not one of torch's own."""
    if isinstance(value, (staticmethod, classmethod)):
        value = value.__func__
    if isinstance(value, MethodType):
        value = value.__func__
    value = inspect.unwrap(value) if callable(value) else value
    if not isinstance(value, FunctionType) or value in found:
        return
    if not value.__code__.co_filename.startswith(_TORCH):
        found.append(value)


def _name(node: ast.AST) -> str:
    return node.id if isinstance(node, ast.Name) else ""


# Notes --------------------------------------------------------------------------------------------


def _hooks(tree: _Tree) -> Iterator[Finding]:
    """Find hooks: tracing runs them, and the kit does not know of them."""
    groups: Dict[Tuple[str, Callable[..., Any]], List[str]] = {}
    for module, path in tree.paths.items():
        for kind, hooks in (
            ("forward hook", module._forward_hooks),
            ("forward pre-hook", module._forward_pre_hooks),
        ):
            for hook in hooks.values():
                paths = groups.setdefault((kind, hook), [])
                if path not in paths:
                    paths.append(path)
    for (kind, hook), (path, *others) in groups.items():
        function = getattr(hook, "__func__", hook)
        name = getattr(function, "__name__", type(function).__name__)
        file, line = _function_location(function)
        yield Finding(
            "R5",
            "note",
            "hook",
            _show(path),
            file,
            line,
            "{} has a {}, {}".format(_show(path), kind, name),
            "take it off with the remove() of its handle, or write it into forward",
            [Place(_show(other), file, line, "so has " + _show(other)) for other in others],
        )


# Sources ------------------------------------------------------------------------------------------


def _parse(function: Any) -> Tuple[ast.AST, Optional[str], int]:
    """The syntax of a function or class, its file, and what to add to its lines.

    Where there is no source, the syntax of nothing.
    """
    try:
        lines, start = inspect.getsourcelines(function)
        # A method is indented, and a string in it may be less.
        syntax = ast.parse(
            "if True:\n" + "".join(lines) if lines[0][:1].isspace() else "".join(lines)
        )
    except (OSError, TypeError, SyntaxError):
        return ast.Module(body=[], type_ignores=[]), None, 0
    is_indented = lines[0][:1].isspace()
    return syntax, inspect.getsourcefile(function), max(start, 1) - 1 - is_indented


def _function_location(function: Any) -> _Location:
    try:
        return inspect.getsourcefile(function), inspect.getsourcelines(function)[1]
    except (OSError, TypeError):
        return _NOWHERE


def _parse_class(cls: Type[Any]) -> Tuple[ast.AST, Optional[str], int]:
    """Like `_parse`, and sure that it is this class: one of that name may be in another file."""
    syntax, file, offset = _parse(cls)
    for value in vars(cls).values():
        is_own = isinstance(value, FunctionType) and value.__module__ == cls.__module__
        if is_own and file is not None and value.__code__.co_filename != file:
            return ast.Module(body=[], type_ignores=[]), None, 0
    return syntax, file, offset


def _class_attribute_location(cls: type, name: str) -> _Location:
    """Where a class body sets an attribute."""
    syntax, file, offset = _parse_class(cls)
    for node in ast.walk(syntax):
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if any(target is not None and _name(target) == name for target in targets):
            return file, node.lineno + offset  # type: ignore[attr-defined]
    return _first_line(syntax, file, offset)


def _attribute_location(cls: type, name: str) -> _Location:
    """Where a class, or one that it inherits from, sets ``self.name``; else where it starts."""
    for base in cls.__mro__:
        if base is nn.Module:
            break
        syntax, file, offset = _parse_class(base)
        for node in ast.walk(syntax):
            if (
                isinstance(node, ast.Attribute)
                and isinstance(node.ctx, ast.Store)
                and node.attr == name
            ):
                return file, node.lineno + offset
    return _first_line(*_parse_class(cls))


def _first_line(syntax: ast.AST, file: Optional[str], offset: int) -> _Location:
    for node in ast.walk(syntax):
        if isinstance(node, ast.ClassDef):
            return file, node.lineno + offset
    return _NOWHERE


def _calls_attribute(cls: type, name: str) -> bool:
    """Whether a class calls ``self.name(...)``."""
    for base in cls.__mro__:
        if base is nn.Module:
            break
        for node in ast.walk(_parse_class(base)[0]):
            called = node.func if isinstance(node, ast.Call) else None
            if isinstance(called, ast.Attribute) and called.attr == name:
                return True
    return False
