"""Comparing two TorchScript files: what they hold, what they compute, and how they are written."""

import io
import pickle
import struct
import zipfile
from pathlib import Path

import torch
from conftest import assert_same

# Numbers of source ranges; torch counts objects, of which equal ones may be one or two.
_TAGS = "debug_pkl"


def saved_again(path: Path) -> dict[str, bytes]:
    """The records that torch writes for a file that it has loaded: code in torch's own form."""
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.load(str(path)), buffer)
    with zipfile.ZipFile(buffer) as archive:
        return {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}


def source_lines(record: bytes) -> list:
    """What a record of source lines says: position in the code, text, file, line, range."""
    _, texts, entries = pickle.loads(record)
    return [
        (position, [texts[i] for i in lines], texts[file], first, begin, end)
        for position, ((lines, file, first), begin, end), _ in entries
    ]


def assert_same_when_saved_again(original: Path, other: Path) -> None:
    """Asserts that torch makes the same records of both: code, state, constants and lines."""
    before, after = saved_again(original), saved_again(other)
    assert before.keys() == after.keys()
    for name in before:
        if name.endswith(_TAGS):
            assert source_lines(before[name]) == source_lines(after[name]), name
        elif name != ".data/serialization_id":
            assert before[name] == after[name], name


def _tensor_key(tensor: torch.Tensor):
    return (tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype)


class _Run:
    """Follows every call of a method, with modules and slots resolved to their paths."""

    def __init__(self, module: torch.jit.ScriptModule) -> None:
        self.events: list = []
        # A tied tensor has one name, that of its first path.
        self.names: dict = {}
        for name, value in module.state_dict(keep_vars=True).items():
            if value.layout == torch.strided and not value.is_quantized:
                self.names.setdefault(_tensor_key(value), name)

    def call(self, module, path: str, method: str, arguments: list) -> list:
        graph = module._get_method(method).graph
        inputs = list(graph.inputs())
        values = {inputs[0].debugName(): ("module", path, module)}
        for value, argument in zip(inputs[1:], arguments, strict=True):
            values[value.debugName()] = argument
        self.events.append(("enter", path, method))
        self.nodes(graph.nodes(), values)
        self.events.append(("leave",))
        return [values[value.debugName()] for value in graph.outputs()]

    def nodes(self, nodes, values: dict) -> None:
        for node in nodes:
            inputs = [values[value.debugName()] for value in node.inputs()]
            outputs = [value.debugName() for value in node.outputs()]
            kind = node.kind()
            if kind == "prim::Constant":
                values[outputs[0]] = self.constant(node)
            elif kind == "prim::GetAttr" and inputs[0][0] == "module":
                values[outputs[0]] = self.attribute(inputs[0], node.s("name"))
            elif kind == "prim::CallMethod" and inputs[0][0] == "module":
                _, path, module = inputs[0]
                results = self.call(module, path, node.s("name"), inputs[1:])
                values.update(zip(outputs, results, strict=True))
            elif kind == "prim::TupleConstruct":
                values[outputs[0]] = ("tuple", inputs)
            elif kind == "prim::TupleUnpack" and inputs[0][0] == "tuple":
                values.update(zip(outputs, inputs[0][1], strict=True))
            else:
                event = len(self.events)
                attributes = [
                    (name, getattr(node, node.kindOf(name))(name))
                    for name in node.attributeNames()
                    if node.kindOf(name) in ("s", "i")
                ]
                self.events.append((kind, [self.plain(v) for v in inputs], attributes))
                for i, block in enumerate(node.blocks()):
                    inner = dict(values)
                    for k, value in enumerate(block.inputs()):
                        inner[value.debugName()] = ("block", event, i, k)
                    self.nodes(block.nodes(), inner)
                    returned = [inner[value.debugName()] for value in block.outputs()]
                    self.events.append(("yield", [self.plain(v) for v in returned]))
                for i, output in enumerate(outputs):
                    values[output] = ("value", event, i)

    def constant(self, node):
        output = next(node.outputs())
        kind = output.type().kind()
        if kind == "FunctionType":
            return ("function", node.s("name"))
        value = output.toIValue()
        if isinstance(value, torch.Tensor):
            value = (value.dtype, tuple(value.shape), value.flatten().tolist())
        elif isinstance(value, float):
            value = struct.pack("d", value)
        return ("constant", kind, value)

    def attribute(self, owner, name: str):
        _, path, module = owner
        value = getattr(module, name)
        where = f"{path}.{name}" if path else name
        if isinstance(value, torch._C.ScriptModule):
            return ("module", where, value)
        if isinstance(value, torch.Tensor):
            return ("slot", self.names.get(_tensor_key(value), where))
        return ("slot", where)

    def plain(self, value):
        if value[0] == "module":
            return value[:2]
        if value[0] == "tuple":
            return ("tuple", [self.plain(v) for v in value[1]])
        return value


def flatten(path: Path) -> dict[str, list]:
    """For each method of the root, all that it runs, in order.

    Threaded arguments, the order in which attributes are read, and how a module is reached
    leave no trace.
    """
    module = torch.jit.load(str(path))
    result = {}
    for method in module._c._method_names():
        run = _Run(module)
        arguments = list(module._c._get_method(method).graph.inputs())[1:]
        returned = run.call(module._c, "", method, [("argument", i) for i in range(len(arguments))])
        result[method] = [*run.events, [run.plain(value) for value in returned]]
    return result


def assert_same_run(original: Path, other: Path) -> None:
    before, after = flatten(original), flatten(other)
    assert before.keys() == after.keys()
    for method in before:
        for i, (a, b) in enumerate(zip(before[method], after[method], strict=True)):
            assert a == b, f"{method}: event {i}"


def sharing(module) -> list:
    """Which tensors of a model share memory, and how each lies in it."""
    storages: dict = {}
    result = []
    for name, tensor in module.state_dict(keep_vars=True).items():
        if tensor.layout != torch.strided:
            continue
        storage = tensor.untyped_storage()
        number = storages.setdefault(storage.data_ptr() or name, len(storages))
        result.append((name, number, storage.nbytes(), tensor.storage_offset(), tensor.stride()))
    return result


def assert_same_model(original: Path, other: Path) -> None:
    """Asserts equal state, flags, names, methods and sharing."""
    before, after = torch.jit.load(str(original)), torch.jit.load(str(other))
    assert_same(dict(before.state_dict()), dict(after.state_dict()), "state")
    assert sharing(before) == sharing(after)
    for (name, a), (other_name, b) in zip(
        before.named_modules(remove_duplicate=False),
        after.named_modules(remove_duplicate=False),
        strict=True,
    ):
        assert name == other_name
        assert a.original_name == b.original_name, name
        assert a._c._method_names() == b._c._method_names(), name
        assert getattr(a, "training", None) == getattr(b, "training", None), name
    for kind in ("named_parameters", "named_buffers"):
        a = list(getattr(before, kind)(remove_duplicate=False))
        b = list(getattr(after, kind)(remove_duplicate=False))
        assert [(n, v.requires_grad) for n, v in a] == [(n, v.requires_grad) for n, v in b]
        assert [[i for i, (_, w) in enumerate(a) if w is v] for _, v in a] == [
            [i for i, (_, w) in enumerate(b) if w is v] for _, v in b
        ]
