"""Checks a TorchScript file against the rules of the training kit.

An independent judge of what fqat-opt writes: it walks the file's own code with torch and shares
nothing with the compiler. `forward` is executed symbolically, with every call followed, into one
list of tensor events in the order of their execution; the rules are properties of that list.
"""

from __future__ import annotations

import fnmatch
import operator
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import torch

_CONVS = re.compile(r"aten::(_convolution(_mode)?|convolution|conv[123]d|conv_transpose[123]d)")
_NORMS = re.compile(r"aten::(_batch_norm_impl_index|(native_|cudnn_|miopen_)?batch_norm)")
_ACTIVATIONS = re.compile(
    r"aten::(relu6?|hardtanh|leaky_relu|prelu|elu|celu|selu|silu|mish|gelu|hardswish)_?"
)
# What reads the size or the kind of a tensor, not its elements.
_METADATA = re.compile(
    r"(aten|prim)::(size|dim|len|dtype|device|layout|numel|stride|requires_grad|__is__|__isnot__"
    r"|is_(floating_point|complex|cuda|nested|quantized))"
)
# Operators whose results share no element.
_SPLITS = re.compile(r"aten::(unsafe_)?(chunk|split(_with_sizes)?|unbind|tensor_split|[hvd]split)")
# Operators without an alias in their schema that hand on their argument, or may.
_ALIASES = re.compile(
    r"aten::(reshape|contiguous|to|flatten|dropout|feature_dropout|type_as|view_as|expand_as)"
)
_IDENTITIES = re.compile(
    r"aten::(mul|view|view_as|reshape|reshape_as|expand_as|type_as|to|alias|detach|clone"
    r"|contiguous|dropout|size|Int|ScalarImplicit)|prim::(Constant|ListConstruct|NumToTensor)"
)
_HUSK = {"prim::Constant", "prim::GetAttr", "prim::CallMethod"}
# Rounds of a loop of known length that are followed one by one.
_MAX_ROUNDS = 32


@dataclass(frozen=True)
class Finding:
    """One broken rule: the rule's name, what is wrong, and the instance where it is."""

    rule: str
    message: str
    instance: str

    def __str__(self) -> str:
        """The finding in one line."""
        return f"{self.rule}: {self.instance or '<root>'}: {self.message}"


# The values of a symbolic run ---------------------------------------------------------------------


@dataclass(frozen=True)
class _Module:
    """An instance, by its path."""

    path: str


@dataclass(frozen=True)
class _Tensor:
    """A tensor or a number: the event that made it, and the memory that it lies in.

    `memory` is an allocation followed by the parts taken of it, each (event, index) of a split.
    """

    event: int | None
    index: int
    memory: tuple[Any, ...]
    is_tensor: bool
    # Made of sizes and constants only.
    is_number: bool


@dataclass(frozen=True)
class _Constant:
    """A number, string or None that is known."""

    value: Any


@dataclass(eq=False)
class _List:
    """A list, tuple or dict; shared by all who hold it. Keys are None for lists."""

    items: list[Any]
    keys: list[Any] | None = None


@dataclass(frozen=True, eq=False)
class _Either:
    """One of several values, it is not known which."""

    options: tuple[Any, ...]


_Value = _Module | _Tensor | _Constant | _List | _Either


@dataclass(frozen=True)
class _Read:
    """A read of a tensor under its latest name, and the events that it depends on."""

    event: int | None
    index: int
    is_tensor: bool
    sources: tuple[int, ...]

    @property
    def producer(self) -> int | None:
        return self.sources[-1] if self.sources else None


@dataclass
class _Event:
    """Something that makes or writes a tensor."""

    kind: str  # anchor, nop or op
    name: str
    instance: str
    # (if, arm) of every arm around it.
    arms: tuple[tuple[int, int], ...]
    reads: list[_Read]
    # The events that decide whether it runs.
    deciders: tuple[int, ...]
    is_number: bool = False
    # How many of the reads are of the first argument: several where it is one of several.
    num_first: int = 0


@dataclass
class _Write:
    event: int
    memory: tuple[Any, ...]
    # The tensor that was written, if it was one.
    target: tuple[int | None, int] | None


@dataclass
class _Run:
    """What a symbolic run saw."""

    events: list[_Event] = field(default_factory=list)
    returned: list[_Read] = field(default_factory=list)
    # Instance key, path and arms of every call of an instance from outside.
    entries: list[tuple[int, str, tuple[tuple[int, int], ...]]] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    def report(self, rule: str, message: str, instance: str) -> None:
        self.findings.append(Finding(rule, message, instance))


def _leaves(value: _Value) -> Iterator[_Tensor]:
    if isinstance(value, _Tensor):
        yield value
    elif isinstance(value, _List):
        for item in value.items:
            yield from _leaves(item)
    elif isinstance(value, _Either):
        for option in value.options:
            yield from _leaves(option)


def _either(a: _Value, b: _Value) -> _Value:
    if a is b or a == b:
        return a
    options: list[_Value] = []
    for value in (a, b):
        for option in value.options if isinstance(value, _Either) else (value,):
            if not any(option is other or option == other for other in options):
                options.append(option)
    return _Either(tuple(options))


def _are_apart(a: tuple[Any, ...], b: tuple[Any, ...]) -> bool:
    """Whether two memories share no element."""
    for x, y in zip(a, b, strict=False):
        if x != y:
            return not isinstance(x, tuple) or not isinstance(y, tuple) or x[0] == y[0]
    return False


def _are_exclusive(a: Sequence[tuple[int, int]], b: Sequence[tuple[int, int]]) -> bool:
    """Whether no execution comes to both of two places."""
    arms = dict(a)
    return any(arms.get(branch, arm) != arm for branch, arm in b)


@cache
def _aliases(schema: str) -> tuple[tuple[int, ...], int | None]:
    """The arguments that an operator writes, and the one whose memory its result may share."""
    try:
        parsed = torch._C.parse_schema(schema)
    except RuntimeError:
        return (), None
    annotated = [(i, a.alias_info) for i, a in enumerate(parsed.arguments) if a.alias_info]
    written = tuple(i for i, info in annotated if info.is_write)
    if not annotated or not any(result.alias_info for result in parsed.returns):
        return written, None
    return written, written[0] if written else annotated[0][0]


# What changes a list or dict.
_CHANGES = tuple(
    f"aten::{name}"
    for name in (
        *("append", "extend", "insert", "_set_item", "pop", "clear", "add_", "update"),
        *("reverse", "remove", "sort", "Delete", "setdefault"),
    )
)

_FOLDS: dict[str, Any] = {
    "aten::__not__": lambda a: not a,
    "aten::__is__": lambda a, b: a is b,
    "aten::__isnot__": lambda a, b: a is not b,
    "aten::__and__": lambda a, b: a and b,
    "aten::__or__": lambda a, b: a or b,
    "aten::eq": lambda a, b: a == b,
    "aten::ne": lambda a, b: a != b,
    "aten::lt": lambda a, b: a < b,
    "aten::le": lambda a, b: a <= b,
    "aten::gt": lambda a, b: a > b,
    "aten::ge": lambda a, b: a >= b,
    "aten::add": lambda a, b: a + b,
    "aten::sub": lambda a, b: a - b,
    "aten::mul": lambda a, b: a * b,
    "aten::str": lambda a: str(operator.index(a)),
    "aten::__range_length": lambda low, high, step: len(range(low, high, step)),
    "aten::__derive_index": lambda i, start, step: start + i * step,
}


# The run ------------------------------------------------------------------------------------------


class _Executor:
    """Executes `forward` symbolically."""

    def __init__(self, path: Path, options: _Options) -> None:
        self.unit = torch._C.CompilationUnit()
        load: Any = torch._C.import_ir_module
        module = load(self.unit, str(path), torch.device("cpu"), {}, False)
        self.root: Any = torch.jit._recursive.wrap_cpp_module(module)
        self.options = options
        self.run = _Run()
        self.arms: tuple[tuple[int, int], ...] = ()
        self.deciders: tuple[int, ...] = ()
        self.branches = 0
        self.allocations = 0
        self.writes: dict[Any, list[_Write]] = {}
        self.slots: dict[str, _Value] = {}
        self.modules: dict[str, Any] = {}
        self.set_names = self.find_set_names()
        self.changed_types = self.find_changed_types()

    def find_set_names(self) -> set[str]:
        """The names of the attributes that some code writes."""
        names = set()
        for module in self.root.modules():
            for method in module._c._method_names():
                graph = module._c._get_method(method).graph
                for node in graph.findAllNodes("prim::SetAttr"):
                    names.add(node.s("name"))
        return names

    def find_changed_types(self) -> set[str]:
        """The types of the lists and dicts that some code changes and has not made itself."""
        unit: Any = self.unit
        changed = (
            next(node.inputs())
            for function in unit.get_functions()
            for kind in _CHANGES
            for node in function.graph.findAllNodes(kind)
        )
        makers = ("prim::ListConstruct", "prim::DictConstruct", "aten::dict", "aten::list")
        return {str(value.type()) for value in changed if value.node().kind() not in makers}

    def execute(self) -> _Run:
        graph = self.root._c._get_method("forward").graph
        arguments = [self.external(value.type()) for value in list(graph.inputs())[1:]]
        result = self.call_graph(graph, [_Module(""), *arguments], "")
        self.run.returned = [self.read(leaf) for leaf in _leaves(result)]
        return self.run

    # Values

    def allocate(self) -> tuple[Any, ...]:
        self.allocations += 1
        return (self.allocations,)

    def external(self, kind: Any) -> _Tensor:
        is_tensor = "Tensor" in str(kind)
        memory = self.allocate()
        return _Tensor(None, memory[0], memory, is_tensor, not is_tensor)

    def module(self, path: str) -> Any:
        if path not in self.modules:
            module = self.root
            for name in filter(None, path.split(".")):
                module = getattr(module, name)
            self.modules[path] = module
        return self.modules[path]

    def read(self, leaf: _Tensor) -> _Read:
        """Reads a tensor now: later writes to its memory count."""
        name: tuple[int | None, int] = (leaf.event, leaf.index)
        sources = [] if leaf.event is None else [leaf.event]
        for write in self.writes.get(leaf.memory[0], ()) if leaf.is_tensor else ():
            arms = self.run.events[write.event].arms
            is_earlier = leaf.event is not None and write.event <= leaf.event
            if is_earlier or _are_apart(write.memory, leaf.memory):
                continue
            if _are_exclusive(arms, self.arms):
                continue
            if write.target == name and set(arms) <= set(self.arms):
                name, sources = (write.event, 0), [write.event]
            elif write.event not in sources:
                sources.append(write.event)
        return _Read(name[0], name[1], leaf.is_tensor, tuple(sources))

    def emit(self, kind: str, name: str, path: str, leaves: Sequence[_Tensor]) -> int:
        event = _Event(
            kind, name, path, self.arms, [self.read(leaf) for leaf in leaves], self.deciders
        )
        event.is_number = kind == "op" and all(leaf.is_number for leaf in leaves)
        self.run.events.append(event)
        return len(self.run.events) - 1

    def element(self, value: _Value, key: Any) -> _Value:
        """The element of a container; `key` is None where it is not known."""
        if isinstance(value, _Either):
            found = [self.element(option, key) for option in value.options]
            result = found[0]
            for other in found[1:]:
                result = _either(result, other)
            return result
        if isinstance(value, _List):
            if value.keys is not None and key in value.keys:
                return value.items[value.keys.index(key)]
            size = len(value.items)
            if value.keys is None and isinstance(key, int) and -size <= key < size:
                return value.items[key]
            if not value.items:
                return self.external("Tensor")
            result = value.items[0]
            for other in value.items[1:]:
                result = _either(result, other)
            return result
        if isinstance(value, _Tensor) and isinstance(key, int):
            memory = value.memory
            if value.event is not None and _SPLITS.fullmatch(self.run.events[value.event].name):
                memory = (*memory, (value.event, key))
            return _Tensor(value.event, value.index + key, memory, True, value.is_number)
        return value

    # Code

    def call_graph(self, graph: Any, arguments: Sequence[_Value], path: str) -> _Value:
        values = {v.debugName(): a for v, a in zip(graph.inputs(), arguments, strict=True)}
        results = self.block(graph, values, path)
        return results[0] if len(results) == 1 else _List(results)

    def block(self, block: Any, values: dict[str, _Value], path: str) -> list[_Value]:
        for node in block.nodes():
            self.node(node, values, path)
        return [self.get(values, value) for value in block.outputs()]

    def get(self, values: dict[str, _Value], value: Any) -> _Value:
        name = value.debugName()
        if name not in values:
            values[name] = self.external(value.type())
        return values[name]

    def node(self, node: Any, values: dict[str, _Value], path: str) -> None:
        kind = node.kind()
        inputs = [self.get(values, value) for value in node.inputs()]
        outputs = list(node.outputs())
        special = getattr(self, "do_" + kind.partition("::")[2], None)
        if kind.startswith("prim::") and special:
            results = special(node, inputs, values, path)
        else:
            results = self.operator(node, kind, inputs, path)
        for output, result in zip(outputs, results, strict=False):
            values[output.debugName()] = result

    def do_Constant(self, node: Any, *_: Any) -> list[_Value]:  # noqa: N802
        kind = str(node.output().type())
        if "Tensor" in kind or "Function" in kind:
            memory = self.allocate()
            return [_Tensor(None, memory[0], memory, "Tensor" in kind, True)]
        try:
            return [_Constant(node.output().toIValue())]
        except RuntimeError:
            return [self.external(kind)]

    def do_GetAttr(self, node: Any, inputs: list[_Value], *_: Any) -> list[_Value]:  # noqa: N802
        owner, name = inputs[0], node.s("name")
        if not isinstance(owner, _Module):
            return [self.external(node.output().type())]
        path = f"{owner.path}.{name}" if owner.path else name
        value = getattr(self.module(owner.path), name, None)
        if isinstance(value, torch.jit.ScriptModule):
            return [_Module(path)]
        if path not in self.slots:
            self.slots[path] = self.slot(name, value, node.output().type())
        return [self.slots[path]]

    def slot(self, name: str, value: Any, kind: Any) -> _Value:
        if isinstance(value, torch.Tensor):
            memory = self.allocate()
            if value.layout == torch.strided and not value.is_quantized:
                memory = (("storage", value.untyped_storage().data_ptr()),)
            return _Tensor(None, self.allocate()[0], memory, True, False)
        if name in self.set_names:
            return self.external(kind)
        return self.constant(value, kind)

    def constant(self, value: Any, kind: Any) -> _Value:
        """An attribute that nobody changes."""
        if isinstance(value, (bool, int, float, str, type(None))):
            return _Constant(value)
        if "Tensor" in str(kind) or str(kind) in self.changed_types:
            return self.external(kind)
        if isinstance(value, list):
            return _List([self.constant(item, kind.getElementType()) for item in value])
        if isinstance(value, dict):
            items = [self.constant(item, kind.getValueType()) for item in value.values()]
            return _List(items, list(value))
        return self.external(kind)

    def do_SetAttr(self, node: Any, inputs: list[_Value], *_: Any) -> list[_Value]:  # noqa: N802
        owner, name = inputs[0], node.s("name")
        if isinstance(owner, _Module):
            path = f"{owner.path}.{name}" if owner.path else name
            before = self.slots.get(path)
            is_certain = not self.arms or before is None
            self.slots[path] = (
                inputs[1] if is_certain or before is None else _either(before, inputs[1])
            )
        return []

    def do_TupleConstruct(self, node: Any, inputs: list[_Value], *_: Any) -> list[_Value]:  # noqa: N802
        return [_List(inputs)]

    do_ListConstruct = do_TupleConstruct

    def do_DictConstruct(self, node: Any, inputs: list[_Value], *_: Any) -> list[_Value]:  # noqa: N802
        keys = [k.value if isinstance(k, _Constant) else object() for k in inputs[::2]]
        return [_List(inputs[1::2], keys)]

    def do_TupleUnpack(self, node: Any, inputs: list[_Value], *_: Any) -> list[_Value]:  # noqa: N802
        return [self.element(inputs[0], i) for i in range(node.outputsSize())]

    do_ListUnpack = do_TupleUnpack

    def do_TupleIndex(self, node: Any, inputs: list[_Value], *_: Any) -> list[_Value]:  # noqa: N802
        key = inputs[1]
        return [self.element(inputs[0], key.value if isinstance(key, _Constant) else None)]

    def do_unchecked_cast(self, node: Any, inputs: list[_Value], *_: Any) -> list[_Value]:
        return inputs[:1]

    def do_Uninitialized(self, node: Any, *_: Any) -> list[_Value]:  # noqa: N802
        return [_Constant(None)]

    def do_CallFunction(  # noqa: N802
        self, node: Any, inputs: list[_Value], values: Any, path: str
    ) -> list[_Value]:
        function = self.unit.find_function(next(node.inputs()).type().annotation_str)
        return [self.call_graph(function.graph, inputs[1:], path)]

    def do_CallMethod(  # noqa: N802
        self, node: Any, inputs: list[_Value], values: Any, path: str
    ) -> list[_Value]:
        callee, method = inputs[0], node.s("name")
        if not isinstance(callee, _Module):
            return [self.external(output.type()) for output in node.outputs()]
        module = self.module(callee.path)
        graph = module._c._get_method(method).graph
        # `len(self.blocks)` runs no module.
        if callee.path == path or method in ("__len__", "__contains__"):
            return [self.call_graph(graph, inputs, callee.path)]
        is_nop = self.options.is_nop(callee.path, module)
        self.check_call(callee.path, method, graph, inputs[1:], is_nop)
        if not is_nop:
            self.run.entries.append((hash(module._c), callee.path, self.arms))
            return [self.call_graph(graph, inputs, callee.path)]
        leaves = [leaf for value in inputs[1:] for leaf in _leaves(value)]
        event = self.emit("nop", callee.path, callee.path, leaves)
        memories = dict.fromkeys(leaf.memory for leaf in leaves) or {self.allocate(): None}
        results = [_Tensor(event, 0, memory, True, False) for memory in memories]
        return [results[0] if len(results) == 1 else _Either(tuple(results))]

    def check_call(
        self, path: str, method: str, graph: Any, arguments: Sequence[_Value], is_nop: bool
    ) -> None:
        nodes = list(graph.nodes())
        if is_nop:
            result = next(graph.outputs())
            returns_argument = not nodes and result in list(graph.inputs())[1:]
            if not returns_argument and not all(_IDENTITIES.fullmatch(n.kind()) for n in nodes):
                self.run.report("R1", "an out_nop does not return its argument", path)
            return
        if method != "forward":
            self.run.report("R5", f"it is entered by {method!r}, not by forward", path)
        returns_none = str(next(graph.outputs()).type()) == "NoneType"
        # A call with arguments that calls others in turn may be dead, but is no husk.
        is_idle = len(list(graph.inputs())) == 1 or all(
            node.kind() != "prim::CallMethod" for node in nodes
        )
        if returns_none and is_idle and all(node.kind() in _HUSK for node in nodes):
            self.run.report("R5", "it does nothing but is called", path)
        own = list(self.module(path).named_children())
        for argument in arguments:
            if isinstance(argument, _Module) and any(
                child.original_name == self.module(argument.path).original_name
                and not child._c._has_method("forward")
                for _, child in own
            ):
                self.run.report("R4", f"{argument.path} comes in as an argument", path)

    def do_If(  # noqa: N802
        self, node: Any, inputs: list[_Value], values: dict[str, _Value], path: str
    ) -> list[_Value]:
        blocks = list(node.blocks())
        condition = inputs[0]
        if isinstance(condition, _Constant) and isinstance(condition.value, bool):
            return self.block(blocks[0 if condition.value else 1], values, path)
        self.branches += 1
        branch, arms, deciders = self.branches, self.arms, self.deciders
        self.deciders += tuple(leaf.event for leaf in _leaves(condition) if leaf.event is not None)
        results: list[list[_Value]] = []
        for arm, block in enumerate(blocks):
            self.arms = (*arms, (branch, arm))
            yielded = self.block(block, dict(values), path)
            if not any(n.kind() == "prim::RaiseException" for n in block.nodes()):
                results.append(yielded)
        self.arms, self.deciders = arms, deciders
        if not results:
            return [self.external(output.type()) for output in node.outputs()]
        if len(results) == 1:
            return results[0]
        return [_either(a, b) for a, b in zip(*results, strict=True)]

    def do_Loop(  # noqa: N802
        self, node: Any, inputs: list[_Value], values: dict[str, _Value], path: str
    ) -> list[_Value]:
        trips, condition, *carried = inputs
        block = next(node.blocks())
        arguments = list(block.inputs())
        known = trips.value if isinstance(trips, _Constant) else None
        is_sure = isinstance(known, int) and known <= _MAX_ROUNDS and condition == _Constant(True)
        rounds = known if is_sure and isinstance(known, int) else 2
        deciders, arms = self.deciders, self.arms
        for value in (trips, condition):
            self.deciders += tuple(leaf.event for leaf in _leaves(value) if leaf.event is not None)
        for i in range(rounds):
            inner = dict(values)
            inner[arguments[0].debugName()] = _Constant(i) if is_sure else self.external("int")
            for argument, value in zip(arguments[1:], carried, strict=True):
                inner[argument.debugName()] = value
            if not is_sure:
                # A round that may not happen: its writes are not sure to be seen.
                self.branches += 1
                self.arms = (*arms, (self.branches, 0))
            goes_on, *handed = self.block(block, inner, path)
            is_sure = is_sure and goes_on == _Constant(True)
            carried = (
                handed if is_sure else [_either(a, b) for a, b in zip(carried, handed, strict=True)]
            )
        self.deciders, self.arms = deciders, arms
        return carried

    def operator(self, node: Any, kind: str, inputs: list[_Value], path: str) -> list[_Value]:
        outputs = list(node.outputs())
        if kind == "aten::list":
            self.run.report("R2", "list() is called", path)
        if kind == "aten::dict" and not inputs:
            return [_List([], [])]
        fold = _FOLDS.get(kind)
        if fold and all(isinstance(value, _Constant) for value in inputs):
            try:
                return [_Constant(fold(*(v.value for v in inputs if isinstance(v, _Constant))))]
            except TypeError:
                pass
        if kind in ("aten::__is__", "aten::__isnot__") and _Constant(None) in inputs:
            other = inputs[0] if inputs[1] == _Constant(None) else inputs[1]
            if not isinstance(other, _Either) and "Optional" not in str(next(node.inputs()).type()):
                return [_Constant(kind == "aten::__isnot__")]
        contained = self.container(node, kind, inputs)
        if contained is not None:
            return contained
        return self.event(node, kind, inputs, outputs, path)

    def container(self, node: Any, kind: str, inputs: list[_Value]) -> list[_Value] | None:
        """Runs an operator on a list or dict, or returns None if it is none."""
        name = kind.partition("::")[2]
        first = inputs[0] if inputs else None
        lists = [
            value
            for value in (first.options if isinstance(first, _Either) else (first,))
            if isinstance(value, _List)
        ]
        spelled = str(next(node.inputs()).type()) if inputs else ""
        if not lists and not re.match(r"List|Dict|.*\[\]$", spelled):
            return None
        key = inputs[1].value if len(inputs) > 1 and isinstance(inputs[1], _Constant) else None
        if name == "__getitem__" and first is not None:
            return [self.element(first, key)]
        if name == "len" and len(lists) == 1 and first is lists[0]:
            return [_Constant(len(lists[0].items))]
        if name == "append":
            for target in lists:
                target.items.append(inputs[1])
            return inputs[:1]
        if name == "insert" and isinstance(key, int) and first is lists[0]:
            lists[0].items.insert(key, inputs[2])
            return []
        if name == "_set_item":
            for target in lists:
                self.set_item(target, key, inputs[2])
            return []
        if not lists:
            return None
        source = lists[0]
        if name in ("list", "copy", "values"):
            return [_List(list(source.items), source.keys if name == "copy" else None)]
        if name == "keys" and source.keys is not None:
            return [_List([_Constant(k) for k in source.keys])]
        if name in ("min", "max") and all(isinstance(v, _Constant) for v in source.items):
            numbers = [v.value for v in source.items if isinstance(v, _Constant)]
            return [_Constant(min(numbers) if name == "min" else max(numbers))]
        if name == "dict" and all(isinstance(pair, _List) for pair in source.items):
            pairs = [pair.items for pair in source.items if isinstance(pair, _List)]
            if all(isinstance(k, _Constant) for k, _ in pairs):
                return [_List([v for _, v in pairs], [k.value for k, _ in pairs])]
        if name == "items" and source.keys is not None:
            entries = zip(source.keys, source.items, strict=True)
            return [_List([_List([_Constant(k), v]) for k, v in entries])]
        if name == "add" and isinstance(inputs[1], _List):
            return [_List(source.items + inputs[1].items)]
        if name == "extend" and isinstance(inputs[1], _List):
            source.items += inputs[1].items
            return []
        if name == "slice":
            bounds = [v.value if isinstance(v, _Constant) else None for v in inputs[1:4]]
            return [_List(source.items[slice(*bounds)])]
        if name == "__contains__" and source.keys is not None:
            return [_Constant(key in source.keys)]
        if name == "__contains__" and all(isinstance(v, _Constant) for v in source.items):
            return [_Constant(inputs[1] in source.items)]
        return None

    def set_item(self, target: _List, key: Any, value: _Value) -> None:
        if target.keys is None:
            if isinstance(key, int) and -len(target.items) <= key < len(target.items):
                target.items[key] = value
            else:
                target.items = [_either(item, value) for item in target.items]
        elif key in target.keys:
            target.items[target.keys.index(key)] = value
        else:
            target.keys.append(key)
            target.items.append(value)

    def event(
        self, node: Any, kind: str, inputs: list[_Value], outputs: list[Any], path: str
    ) -> list[_Value]:
        """Runs an operator on tensors or numbers."""
        leaves = [leaf for value in inputs for leaf in _leaves(value)]
        written, aliased = _aliases(node.schema())
        if aliased is None and _ALIASES.fullmatch(kind):
            aliased = 0
        makes_tensor = any("Tensor" in str(output.type()) for output in outputs)
        targets = [leaf for i in written if i < len(inputs) for leaf in _leaves(inputs[i])]
        if _METADATA.fullmatch(kind) or (not makes_tensor and not targets):
            sources: set[int] = set()
            if not _METADATA.fullmatch(kind):
                sources = {s for leaf in leaves for s in self.read(leaf).sources}
            return [self.number(sources) for _ in outputs]
        is_anchor = self.options.is_anchor(kind, path)
        reads_before = [self.read(leaf) for leaf in targets]
        index = self.emit("anchor" if is_anchor else "op", kind, path, leaves)
        self.run.events[index].num_first = len(list(_leaves(inputs[0]))) if inputs else 0
        for leaf, read in zip(targets, reads_before, strict=True):
            target = (read.event, read.index) if len(targets) == 1 else None
            self.writes.setdefault(leaf.memory[0], []).append(_Write(index, leaf.memory, target))
        is_number = self.run.events[index].is_number
        shared: list[_Tensor] = []
        if aliased is not None and aliased < len(inputs):
            shared = [leaf for leaf in _leaves(inputs[aliased]) if leaf.is_tensor]
        results: list[_Value] = []
        for i, output in enumerate(outputs):
            memories = dict.fromkeys(leaf.memory for leaf in shared) or {self.allocate(): None}
            is_tensor = "Tensor" in str(output.type())
            made = [_Tensor(index, i, memory, is_tensor, is_number) for memory in memories]
            results.append(made[0] if len(made) == 1 else _Either(tuple(made)))
        return results

    def number(self, sources: set[int]) -> _Value:
        memory = self.allocate()
        if not sources:
            return _Tensor(None, memory[0], memory, False, True)
        numbers = [_Tensor(s, 0, memory, False, False) for s in sorted(sources)]
        return numbers[0] if len(numbers) == 1 else _Either(tuple(numbers))


# The rules ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Options:
    anchors: tuple[str, ...]
    exclude: tuple[str, ...]
    nop_name: str

    def is_nop(self, path: str, module: Any) -> bool:
        leaf = path.rpartition(".")[2]
        named = re.fullmatch(rf"{re.escape(self.nop_name)}_?\d*", leaf)
        return named is not None or module.original_name == "OutNop"

    def is_anchor(self, kind: str, path: str) -> bool:
        family = "conv" if _CONVS.fullmatch(kind) else "linear" if kind == "aten::linear" else ""
        return family in self.anchors and not any(
            fnmatch.fnmatchcase(path, glob) or fnmatch.fnmatchcase(path, glob + ".*")
            for glob in self.exclude
        )


class _Regions:
    """Which events are quantised, and which are tail."""

    def __init__(self, run: _Run) -> None:
        self.run = run
        events = run.events
        self.users: list[list[int]] = [[] for _ in events]
        self.upstream = [event.kind == "anchor" for event in events]
        for i, event in enumerate(events):
            sources = {s for read in event.reads for s in read.sources} | set(event.deciders)
            for source in sorted(sources):
                self.users[source].append(i)
                self.upstream[i] |= self.upstream[source]
        self.downstream = [False] * len(events)
        for i in reversed(range(len(events))):
            self.downstream[i] = any(
                events[user].kind == "anchor" or self.downstream[user] for user in self.users[i]
            )
        self.returned = {source for read in run.returned for source in read.sources}
        self.groups = self.find_groups()

    def find_groups(self) -> list[bool]:
        """The anchors with their epilogues."""
        events = self.run.events
        groups = [event.kind == "anchor" for event in events]
        for i, event in enumerate(events):
            is_norm = _NORMS.fullmatch(event.name) is not None
            if event.kind != "op" or not (is_norm or _ACTIVATIONS.fullmatch(event.name)):
                continue
            sources = [self.behind_nops(read.event) for read in event.reads[: event.num_first]]
            groups[i] = bool(sources)
            for source in sources:
                # Where an arm decides which value comes, each must be of a group.
                if source is None or not groups[source] or not self.is_only_user(i, source):
                    groups[i] = False
                    break
                after_anchor = events[source].kind == "anchor"
                after_norm = _NORMS.fullmatch(events[source].name) is not None
                groups[i] &= after_anchor or (after_norm and not is_norm)
        return groups

    def behind_nops(self, event: int | None) -> int | None:
        while event is not None and self.run.events[event].kind == "nop":
            reads = self.run.events[event].reads
            event = reads[0].producer if reads else None
        return event

    def is_only_user(self, user: int, event: int) -> bool:
        if event in self.returned:
            return False
        for other in self.users[event]:
            if self.run.events[other].kind == "nop":
                if not self.is_only_user(user, other):
                    return False
            elif other != user:
                return False
        return True

    def is_quantised(self, event: int) -> bool:
        if self.run.events[event].kind == "nop" or not self.upstream[event]:
            return False
        return self.groups[event] or self.downstream[event]

    def is_tail(self, event: int) -> bool:
        is_op = self.run.events[event].kind == "op" and self.upstream[event]
        return is_op and not self.is_quantised(event)


def _check_cover(run: _Run, regions: _Regions) -> None:
    """Reports crossing values that reach the tail, or a return, without a nop."""

    def crosses(read: _Read) -> bool:
        return read.is_tensor and any(regions.is_quantised(source) for source in read.sources)

    for i, event in enumerate(run.events):
        if regions.is_tail(i) and any(crosses(read) for read in event.reads):
            run.report(
                "R1", f"{event.name} reads a quantised value without out_nop", event.instance
            )
    for read in run.returned:
        if crosses(read) and read.producer is not None:
            producer = run.events[read.producer]
            run.report("R1", f"{producer.name} is returned without out_nop", producer.instance)


def _check_nop(run: _Run, regions: _Regions, index: int, marked: set[tuple[Any, ...]]) -> None:
    nop = run.events[index]
    read = nop.reads[0] if nop.reads else None
    producers = sorted({r.producer for r in nop.reads if r.producer is not None})
    if read is None or not producers or not regions.is_quantised(producers[-1]):
        run.report("R1", "an out_nop stands on no quantised value", nop.instance)
        return
    producer = producers[-1]
    for between in run.events[producer + 1 : index]:
        is_sister = between.kind == "nop" and any(r.producer == producer for r in between.reads)
        is_apart = _are_exclusive(between.arms, nop.arms) or _are_exclusive(
            between.arms, run.events[producer].arms
        )
        if not (between.is_number or is_sister or is_apart):
            run.report(
                "R1", f"{between.name} stands between an out_nop and its value", nop.instance
            )
            break
    if regions.downstream[index]:
        run.report("R1", "an out_nop feeds a layer", nop.instance)
    if not regions.users[index] and index not in regions.returned:
        run.report("R1", "nothing reads an out_nop", nop.instance)
    key = (read.event, read.index)
    if key in marked:
        run.report("R1", "two out_nops stand on one value", nop.instance)
    marked.add(key)


def _check_order(run: _Run, regions: _Regions) -> None:
    """Reports tail that runs before an out_nop."""
    nops = [i for i, event in enumerate(run.events) if event.kind == "nop"]
    for i, event in enumerate(run.events):
        if not regions.is_tail(i) or event.is_number:
            continue
        later = (n for n in nops if n > i)
        if any(not _are_exclusive(run.events[n].arms, event.arms) for n in later):
            run.report("R3", f"{event.name} of the tail runs before an out_nop", event.instance)


def _check_once(run: _Run) -> None:
    """Reports instances that one execution enters twice."""
    by_instance: dict[int, list[tuple[str, tuple[tuple[int, int], ...]]]] = {}
    for key, path, arms in run.entries:
        entries = by_instance.setdefault(key, [])
        if any(not _are_exclusive(arms, other) for _, other in entries):
            run.report("R4", "it is called more than once", path)
        entries.append((path, arms))


def check(
    path: str | Path,
    *,
    anchors: Sequence[str] = ("conv", "linear"),
    exclude: Sequence[str] = (),
    nop_name: str = "out_nop",
) -> list[Finding]:
    """Checks a TorchScript file against R1 to R5.

    Args:
        path: The file.
        anchors: The families of operators that are layers: `conv`, `linear`.
        exclude: Globs of instances whose operators, and those below, are no layers; `*` crosses
            dots.
        nop_name: The attribute name of an out_nop, which may end in `_` and a number.

    Returns:
        What is wrong, in the order of the execution for each rule; empty for a file that obeys.

    Raises:
        RuntimeError: torch cannot load the file, or it has no `forward`.
    """
    options = _Options(tuple(anchors), tuple(exclude), nop_name)
    run = _Executor(Path(path), options).execute()
    regions = _Regions(run)
    _check_cover(run, regions)
    marked: set[tuple[Any, ...]] = set()
    for i, event in enumerate(run.events):
        if event.kind == "nop":
            _check_nop(run, regions, i, marked)
    _check_order(run, regions)
    _check_once(run)
    return run.findings
