"""Makes TorchScript files of any size, in the form that `torch.jit.trace` gives them.

Tracing takes some 3 ms an operator, so that a million of them would take an hour. Here the code,
the pickle and the weights of a detector are written as they stand in a traced file: a class an
instance, a method a call, shared modules handed on as arguments, `0`, `1`, ... read by `getattr`.

    python bench/generate.py deep 10000 model.pt [--megabytes 100]
"""

import argparse
import struct
from collections.abc import Iterator
from pathlib import Path

import torch

CONTAINER = "torch.nn.modules.container"


class Tensor:
    """A parameter or buffer: an index of a storage, sizes, dtype."""

    __slots__ = ("integer", "kind", "sizes", "storage")

    def __init__(self, storage: int, sizes: tuple[int, ...], kind: str, integer: bool = False):
        self.storage, self.sizes, self.kind, self.integer = storage, sizes, kind, integer


class Module:
    """An instance with its class: slots in order, and what its methods say behind `self`."""

    __slots__ = ("class_name", "methods", "plain_end", "slots")

    def __init__(self, class_name: str, **slots: "Tensor | Module"):
        self.class_name = class_name
        self.slots = slots
        self.methods: list[tuple[str, str]] = []

    def define(self, arguments: str, lines: list[str], result: str = "Tensor") -> str:
        """Adds the next method (`forward`, `forward1`, ...) and returns its name."""
        name = f"forward{len(self.methods) or ''}"
        text = "\n".join(f"    {line}" for line in lines)
        self.methods.append((f"{name}(self: {self.class_name}{arguments}) -> {result}", text))
        return name


class Generator:
    """Builds the modules and writes the archive. Equal arguments give equal bytes."""

    def __init__(self, path: Path, plain: bool, fan_out: int):
        self.plain = plain
        self.fan_out = fan_out
        self.writer = torch._C.PyTorchFileWriter(str(path))
        self.random = torch.Generator().manual_seed(0)
        self.num_classes = self.num_storages = self.num_ops = 0

    def new(self, class_name: str, **slots: "Tensor | Module") -> Module:
        package, _, name = class_name.rpartition(".")
        self.num_classes += 1
        return Module(f"__torch__.{package}.___torch_mangle_{self.num_classes}.{name}", **slots)

    def tensor(self, kind: str, *sizes: int, value: float | None = None) -> Tensor:
        if value is None:
            data = torch.randn(sizes, generator=self.random) * 0.1
        else:
            data = torch.full(sizes, value, dtype=torch.float32)
        return self.store(data, kind)

    def store(self, data: torch.Tensor, kind: str) -> Tensor:
        size = data.numel() * data.element_size()
        self.writer.write_record(f"data/{self.num_storages}", data.untyped_storage(), size)
        self.num_storages += 1
        return Tensor(self.num_storages - 1, tuple(data.shape), kind, not data.is_floating_point())

    def conv(self, inputs: int, outputs: int, bias: bool) -> Module:
        made = self.new("torch.nn.modules.conv.Conv2d")
        made.slots["weight"] = self.tensor("parameter", outputs, inputs, 1, 1)
        if bias:
            made.slots["bias"] = self.tensor("parameter", outputs)
        return made

    def call_conv(self, conv: Module) -> str:
        self.num_ops += 1
        lines = ["bias = self.bias"] if "bias" in conv.slots else []
        bias = "bias" if lines else "None"
        call = (
            f"torch._convolution(input, weight, {bias}, [1, 1], [0, 0], [1, 1], False, [0, 0], 1,"
            " False, False, True, True)"
        )
        lines += ["weight = self.weight", f"return {call}"]
        return conv.define(",\n    input: Tensor", lines)

    def batch_norm(self, channels: int) -> Module:
        made = self.new("torch.nn.modules.batchnorm.BatchNorm2d")
        for name, value in (("weight", 1.0), ("bias", 0.0)):
            made.slots[name] = self.tensor("parameter", channels, value=value)
        for name, value in (("running_mean", 0.0), ("running_var", 1.0)):
            made.slots[name] = self.tensor("buffer", channels, value=value)
        made.slots["num_batches_tracked"] = self.store(torch.tensor(0), "buffer")
        return made

    def call_batch_norm(self, norm: Module) -> str:
        self.num_ops += 1
        names = ("running_var", "running_mean", "bias", "weight")
        lines = [f"{name} = self.{name}" for name in names]
        lines.append(
            "return torch.batch_norm(argument_1, weight, bias, running_mean, running_var, False,"
            " 0.10000000000000001, 1.0000000000000001e-05, True)"
        )
        return norm.define(",\n    argument_1: Tensor", lines)

    def act(self) -> Module:
        return self.new("torch.nn.modules.activation.SiLU")

    def call_act(self, act: Module) -> str:
        self.num_ops += 1
        return act.define(",\n    argument_1: Tensor", ["return torch.silu(argument_1)"])

    def block(self, channels: int, act: Module | None = None) -> Module:
        """Conv, batch norm, activation. A shared activation leaves a twin here."""
        return self.new(
            "detector.Conv",
            conv=self.conv(channels, channels, bias=False),
            bn=self.batch_norm(channels),
            act=self.act() if act is None else act,
        )

    def call_block(self, block: Module, act: Module) -> str:
        """Calls a block, whose activation is `act`: its own, or one that it is handed."""
        conv, bn = block.slots["conv"], block.slots["bn"]
        lines = ["bn = self.bn", "conv = self.conv"]
        signature, name = f",\n    argument_1: {act.class_name},\n    x: Tensor", "argument_1"
        if block.slots["act"] is act:
            lines.insert(0, "act = self.act")
            signature, name = ",\n    x: Tensor", "act"
        inner = f"(conv).{self.call_conv(conv)}(x, )"
        lines.append(f"_0 = (bn).{self.call_batch_norm(bn)}({inner}, )")
        lines.append(f"return ({name}).{self.call_act(act)}(_0, )")
        return block.define(signature, lines)

    def bottleneck(self, channels: int, act: Module, owns_act: bool) -> Module:
        return self.new(
            "detector.Bottleneck",
            cv1=self.block(channels),
            cv2=self.block(channels, act if owns_act else None),
        )

    def call_bottleneck(self, made: Module, act: Module) -> str:
        self.num_ops += 1
        first = self.call_block(made.slots["cv1"], act)
        second = self.call_block(made.slots["cv2"], act)
        lines = ["cv2 = self.cv2", "cv1 = self.cv1"]
        signature, handed = f",\n    act: {act.class_name},\n    x: Tensor", "act, "
        if made.slots["cv2"].slots["act"] is act:
            lines.insert(1, "act = cv2.act")
            signature, handed = ",\n    x: Tensor", ""
        lines.append(f"_0 = (cv2).{second}({handed}(cv1).{first}(act, x, ), )")
        lines.append("return torch.add(x, _0)")
        return made.define(signature, lines)

    def plain_block(self, channels: int, layers: int, ends_in_conv: bool) -> Module:
        """Layers that are written with `torch.nn.functional` and parameters of the block's own."""
        weights = {
            f"w{i}": self.tensor("parameter", channels, channels, 1, 1) for i in range(layers)
        }
        made = self.new("detector.Plain", **weights)
        made.plain_end = ends_in_conv
        return made

    def call_plain_block(self, made: Module) -> str:
        layers = len(made.slots)
        lines = [f"w{i} = self.w{i}" for i in reversed(range(layers))]
        value = "x"
        for i in range(layers):
            lines.append(
                f"c{i} = torch._convolution({value}, w{i}, None, [1, 1], [0, 0], [1, 1], False,"
                " [0, 0], 1, False, False, True, True)"
            )
            self.num_ops += 1
            if made.plain_end and i == layers - 1:
                value = f"c{i}"
                break
            lines += [f"a{i} = torch.silu(c{i})", f"x{i} = torch.add({value}, a{i})"]
            self.num_ops += 2
            value = f"x{i}"
        return made.define(",\n    x: Tensor", [*lines, f"return {value}"])

    def plain_stage(self, channels: int, blocks: int, repeats: int) -> Module:
        children = [self.plain_block(channels, 16, False) for _ in range(blocks)]
        made = self.new(f"{CONTAINER}.Sequential", **{str(i): c for i, c in enumerate(children)})
        lines = [f'_{i} = getattr(self, "{i}")' for i in range(blocks)]
        value = "input"
        for i, child in enumerate(children):
            for k in range(repeats):
                lines.append(f"x{i}_{k} = (_{i}).{self.call_plain_block(child)}({value}, )")
                value = f"x{i}_{k}"
        made.define(",\n    input: Tensor", [*lines, f"return {value}"])
        return made

    def stage(self, channels: int, blocks: int, repeats: int) -> Module:
        """Bottlenecks that share one activation and are called `repeats` times in a row each."""
        act = self.act()
        children = [self.bottleneck(channels, act, i == blocks - 1) for i in range(blocks)]
        made = self.new(f"{CONTAINER}.Sequential", **{str(i): c for i, c in enumerate(children)})
        lines = [f'_{i} = getattr(self, "{i}")' for i in range(blocks)]
        lines += [f"cv2 = _{blocks - 1}.cv2", "act = cv2.act"]
        value = "input"
        for i, child in enumerate(children):
            handed = "" if i == blocks - 1 else "act, "
            for k in range(repeats):
                call = f"(_{i}).{self.call_bottleneck(child, act)}({handed}{value}, )"
                value = f"x{i}_{k}"
                lines.append(f"{value} = {call}")
        made.define(",\n    input: Tensor", [*lines, f"return {value}"])
        return made

    def level(self, channels: int) -> Module:
        """Two branches that end in output convs, which a concat reads before any out_nop."""
        branches = {}
        for name in ("cv2", "cv3"):
            if self.plain:
                branches[name] = self.plain_block(channels, 2, True)
                self.call_plain_block(branches[name])
                continue
            block, conv = self.block(channels), self.conv(channels, channels, bias=True)
            branch = self.new(f"{CONTAINER}.Sequential", **{"0": block, "1": conv})
            lines = ['_1 = getattr(self, "1")', '_0 = getattr(self, "0")']
            inner = f"(_0).{self.call_block(block, block.slots['act'])}(x, )"
            branch.define(
                ",\n    x: Tensor", [*lines, f"return (_1).{self.call_conv(conv)}({inner}, )"]
            )
            branches[name] = branch
        made = self.new("detector.Level", **branches)
        self.num_ops += 1
        lines = ["cv3 = self.cv3", "cv2 = self.cv2"]
        lines.append("_0 = [(cv2).forward(x, ), (cv3).forward(x, )]")
        made.define(",\n    x: Tensor", [*lines, "return torch.cat(_0, 1)"])
        return made

    def sequence(self, children: list[Module]) -> Module:
        """Runs modules one after another."""
        return self.tree(children, "Sequential", "input")

    def parallel(self, children: list[Module], join: str) -> Module:
        """Runs modules side by side and joins their results: `add` or `cat`."""
        return self.tree(children, "ModuleList", join)

    def tree(self, children: list[Module], container: str, join: str) -> Module:
        while len(children) > 1:
            rows = [children[i : i + self.fan_out] for i in range(0, len(children), self.fan_out)]
            children = [self.node(row, container, join) for row in rows]
        return children[0]

    def node(self, children: list[Module], container: str, join: str) -> Module:
        made = self.new(f"{CONTAINER}.{container}", **{str(i): c for i, c in enumerate(children)})
        lines = [f'_{i} = getattr(self, "{i}")' for i in range(len(children))]
        value = "input"
        results = []
        for i in range(len(children)):
            lines.append(f"x{i} = (_{i}).forward({value}, )")
            results.append(f"x{i}")
            if join == "input":
                value = f"x{i}"
        if join == "add":
            for i, result in enumerate(results[1:]):
                self.num_ops += 1
                lines.append(f"y{i} = torch.add({f'y{i - 1}' if i else 'x0'}, {result})")
                value = f"y{i}"
        elif join == "cat":
            self.num_ops += 1
            lines.append(f"y = torch.cat([{', '.join(results)}], 1)")
            value = "y"
        made.define(",\n    input: Tensor", [*lines, f"return {value}"])
        return made

    # The archive.

    def write(self, root: Module) -> None:
        """Writes the code, the pickle of the objects, and what else a reader wants."""

        def record(name: str, data: bytes, compress: bool = False) -> None:
            self.writer.write_record(name, data, len(data))

        record("data.pkl", b"".join(pickle_module(root)))
        stack = [root]
        while stack:
            module = stack.pop()
            stack += [slot for slot in module.slots.values() if isinstance(slot, Module)]
            qualifier = module.class_name.rpartition(".")[0]
            record(f"code/{qualifier.replace('.', '/')}.py", print_class(module).encode())
        record("constants.pkl", b"\x80\x02).")
        self.writer.write_end_of_file()


def print_class(module: Module) -> str:
    """Returns the text of a module's class."""

    def names(kind: str) -> str:
        found = [
            f'"{name}", '
            for name, slot in module.slots.items()
            if isinstance(slot, Tensor) and slot.kind == kind
        ]
        return "".join(found)

    lines = [
        f"class {module.class_name.rpartition('.')[2]}(Module):",
        f"  __parameters__ = [{names('parameter')}]",
        f"  __buffers__ = [{names('buffer')}]",
    ]
    attributes = []
    for name, slot in module.slots.items():
        held = slot.class_name if isinstance(slot, Module) else "Tensor"
        attributes.append(
            f'  __annotations__["{name}"] = {held}' if name.isdigit() else f"  {name} : {held}"
        )
    flags = ["  training : bool", "  _is_full_backward_hook : Optional[bool]"]
    # Tracing puts the flags before the children, and behind tensors.
    holds_tensors = any(isinstance(slot, Tensor) for slot in module.slots.values())
    lines += [*attributes, *flags] if holds_tensors else [*flags, *attributes]
    for signature, text in module.methods:
        lines += [f"  def {signature}:", text]
    return "\n".join(lines) + "\n"


def pickle_module(root: Module) -> Iterator[bytes]:
    """Yields the pickle of the objects, as libtorch would write it."""
    memo: dict[str, int] = {}

    def once(key: str, code: bytes) -> bytes:
        index = memo.get(key)
        if index is not None:
            return b"h" + bytes([index]) if index < 256 else b"j" + struct.pack("<I", index)
        index = memo[key] = len(memo)
        return code + (b"q" + bytes([index]) if index < 256 else b"r" + struct.pack("<I", index))

    def string(text: str) -> bytes:
        data = text.encode()
        return once(text, b"X" + struct.pack("<I", len(data)) + data)

    def name(qualified: str) -> bytes:
        package, _, last = qualified.rpartition(".")
        return once(f"class {qualified}", f"c{package}\n{last}\n".encode())

    def integer(value: int) -> bytes:
        if value < 256:
            return b"K" + bytes([value])
        return b"J" + struct.pack("<i", value)

    def numbers(values: tuple[int, ...]) -> bytes:
        return b"(" + b"".join(map(integer, values)) + b"t"

    def tensor(held: Tensor) -> bytes:
        count, strides = 1, []
        for size in reversed(held.sizes):
            strides.insert(0, count)
            count *= size
        key = str(held.storage).encode()
        return b"".join(
            [
                name("torch._utils._rebuild_tensor_v2"),
                b"((",
                string("storage"),
                name("torch.LongStorage" if held.integer else "torch.FloatStorage"),
                b"X" + struct.pack("<I", len(key)) + key,
                string("cpu"),
                integer(count),
                b"tQ",
                integer(0),
                numbers(held.sizes),
                numbers(tuple(strides)),
                b"\x88" if held.kind == "parameter" else b"\x89",
                name("collections.OrderedDict"),
                b")RtR",
            ]
        )

    flags = [("training", b"\x89"), ("_is_full_backward_hook", b"N")]

    def walk(module: Module) -> Iterator[bytes]:
        yield name(module.class_name) + b")\x81}("
        holds_tensors = any(isinstance(slot, Tensor) for slot in module.slots.values())
        if not holds_tensors:
            yield from (string(flag) + value for flag, value in flags)
        for attribute, slot in module.slots.items():
            yield string(attribute)
            if isinstance(slot, Module):
                yield from walk(slot)
            else:
                yield tensor(slot)
        if holds_tensors:
            yield from (string(flag) + value for flag, value in flags)
        yield b"ub"

    yield b"\x80\x02"
    yield from walk(root)
    yield b"."


def generate(
    shape: str,
    ops: int,
    path: Path,
    *,
    megabytes: float = 0,
    plain: bool = False,
    fan_out: int = 16,
    repeats: int = 4,
) -> int:
    """Writes a detector of about `ops` operators and returns how many it has.

    `deep` is one long chain of bottlenecks with three levels at its end, `wide` has 16 chains side
    by side, `shared` calls each bottleneck `repeats` times, and in `heads` every fifth operator or
    so is an output conv. Each layer is a module, or, if `plain`, 16 are one. `megabytes` is about
    what the weights take. A container has `fan_out` children, so that a tree of them is log(n)
    deep.
    """
    made = Generator(path, plain, fan_out)
    # Operators and convs: of a bottleneck or a block of plain layers, and of a level.
    ops_per_block, convs_per_block = (48, 16) if plain else (7, 2)
    ops_per_level, convs_per_level = 9, 4
    num_blocks, num_levels = max(ops // ops_per_block, 1), 3
    blocks_per_stage, repeats = 16, repeats if shape == "shared" else 1
    num_chains = 16
    if shape == "heads":
        num_blocks, num_levels = 1, max(ops // ops_per_level, 3)
    if shape == "wide":
        blocks_per_stage = min(blocks_per_stage, num_blocks // num_chains)
    blocks_per_stage = max(1, min(blocks_per_stage, num_blocks // repeats))
    num_stages = max(1, num_blocks // blocks_per_stage // repeats)
    channels = 2
    if megabytes:
        num_convs = num_stages * blocks_per_stage * convs_per_block + num_levels * convs_per_level
        channels = max(2, round((megabytes * 2**20 / 4 / num_convs) ** 0.5))

    make_stage = made.plain_stage if plain else made.stage
    stages = [make_stage(channels, blocks_per_stage, repeats) for _ in range(num_stages)]
    if shape == "wide" and num_stages >= num_chains:
        count = num_stages // num_chains
        chains = [made.sequence(stages[i * count : (i + 1) * count]) for i in range(num_chains)]
        body = made.parallel(chains, "add")
    else:
        body = made.sequence(stages)
    head = made.parallel([made.level(channels) for _ in range(num_levels)], "cat")
    root = made.new("detector.Detector", body=body, head=head)
    lines = ["head = self.head", "body = self.body"]
    root.define(",\n    x: Tensor", [*lines, "return (head).forward((body).forward(x, ), )"])
    made.write(root)
    return made.num_ops


def main() -> None:
    """Writes one model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shape", choices=("deep", "wide", "shared", "heads"))
    parser.add_argument("ops", type=int)
    parser.add_argument("path", type=Path)
    parser.add_argument("--megabytes", type=float, default=0)
    parser.add_argument("--plain", action="store_true", help="few classes with many operators each")
    parser.add_argument("--fan-out", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=4)
    options = parser.parse_args()
    count = generate(
        options.shape,
        options.ops,
        options.path,
        megabytes=options.megabytes,
        plain=options.plain,
        fan_out=options.fan_out,
        repeats=options.repeats,
    )
    print(count, "operators")


if __name__ == "__main__":
    main()
