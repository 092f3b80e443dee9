"""Scripted models, one for each construct of TorchScript: the fixtures of the round trip.

Each function named in MODELS returns a scripted module and two tuples of inputs.
"""

from enum import Enum
from typing import Any, Dict, Final, List, NamedTuple, Optional, Tuple, Union

import torch
from torch import Tensor, nn

MODELS = {}


def model(function):
    MODELS[function.__name__] = function
    return function


def tensors(*shape, count=2):
    torch.manual_seed(1)
    return [(torch.randn(*shape),) for _ in range(count)]


# Control flow


@model
def branches_and_loops():
    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 1)

        def forward(self, x, n: int, flag: bool):
            total = torch.zeros_like(x)
            for i in range(n):
                if i == 2:
                    continue
                if i == 5:
                    break
                total = total + self.conv(x) * i
                if bool(total.sum() > 1e6):
                    return total
            while bool(total.abs().max() > 1.0):
                total = total * 0.5
            if flag and n > 1:
                total = total.relu()
            elif n == 1:
                total = total - 1
            return total

    x = torch.randn(1, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    return torch.jit.script(M().eval()), (x, 7, True), (x, 1, False)


@model
def loops_over_containers():
    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList([nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4)])
            self.named = nn.ModuleDict({"a": nn.Linear(4, 4), "b": nn.Tanh()})
            self.chain = nn.Sequential(nn.Linear(4, 4), nn.Sigmoid())
            self.weights = nn.ParameterList([nn.Parameter(torch.ones(4)) for _ in range(2)])

        def forward(self, x):
            for layer in self.layers:
                x = layer(x)
            for i, layer in enumerate(self.layers):
                x = layer(x) + i
            for name, layer in self.named.items():
                if name == "a":
                    x = layer(x)
            sizes = [2, 3]
            parts: List[Tensor] = []
            for a, b in zip(sizes, x.unbind(0)):
                parts.append(b * a)
            return self.chain(torch.stack(parts)), [p + 1 for p in parts]

    a, b = tensors(2, 4)
    return torch.jit.script(M()), a, b


# Functions


def scale(x: Tensor, factor: float = 2.0, offset: int = 1) -> Tensor:
    return x * factor + offset


def clamp_or_scale(x: Tensor, limit: Optional[float] = None) -> Tensor:
    if limit is None:
        return scale(x, offset=3)
    return x.clamp(max=limit)


@torch.jit.script
def fill_first(x: Tensor) -> Tensor:
    x[0].fill_(1.5)
    return x


@model
def free_functions():
    class M(nn.Module):
        def forward(self, x):
            fill_first(x)
            return clamp_or_scale(x), clamp_or_scale(x, 0.5), torch.nn.functional.gelu(x)

    a, b = tensors(3, 4)
    return torch.jit.script(M()), a, b


@model
def defaults():
    class M(nn.Module):
        def forward(self, x, scale: float = 0.5, sizes: Tuple[int, int] = (1, 2)):
            return x * scale + sizes[1]

        @torch.jit.export
        def other(self, x, name: str = "a b\t\u00e9", limit: Optional[int] = None, d: float = -0.0):
            return x, name, limit, d

    a, b = tensors(2)
    return torch.jit.script(M()), a, b


# Values


class Point(NamedTuple):
    x: Tensor
    weight: float


@model
def tuples():
    class M(nn.Module):
        point: Point

        def __init__(self):
            super().__init__()
            self.point = Point(torch.ones(2), 0.5)
            self.pair = (1, ("a", 2.5))

        def split(self, x) -> Tuple[Tensor, int]:
            return x + 1, 3

        def forward(self, x):
            both = self.split(x)
            y, n = self.split(both[0])
            p = Point(y, 2.0 * self.point.weight)
            nested = (x, (y, [both[1], n]))
            return p, nested[1], both, (), (x,), self.pair[1][1]

    a, b = tensors(2)
    return torch.jit.script(M()), a, b


@model
def containers():
    class M(nn.Module):
        table: Dict[str, List[int]]
        lookup: Dict[int, Tensor]
        maybe: Optional[Tensor]
        nothing: Optional[Dict[str, Tensor]]

        def __init__(self):
            super().__init__()
            self.table = {"b": [1, 2], "a": [], "\u00e9\t\x01": [3]}
            self.lookup = {3: torch.ones(1), -1: torch.zeros(1)}
            self.maybe = torch.ones(2)
            self.nothing = None
            self.ints = [1, 2**40, -(2**63)]
            self.floats = [0.0, -0.0, float("inf"), float("-inf"), 1e-320]
            self.bools = [True, False]
            self.strings = ["", "x", "line\nline"]
            self.tensors = [torch.ones(1), torch.zeros(2, 2)]

        def forward(self, x, extra: Optional[Tensor]):
            out: Dict[str, Tensor] = {}
            for key, values in self.table.items():
                out[key] = x + len(values)
            if extra is not None:
                x = x + extra
            maybe = self.maybe
            assert maybe is not None
            first = [v * 2 for v in self.floats]
            found = "zz" in out
            empty: List[Dict[str, Tensor]] = []
            empty.append(out)
            return empty, x + maybe.sum(), first, self.ints[1:], found, self.strings, self.lookup[3]

    torch.manual_seed(0)
    return torch.jit.script(M()), (torch.randn(2), None), (torch.randn(2), torch.randn(2))


@model
def optionals_and_errors():
    class M(nn.Module):
        def pick(self, x: Optional[Tensor], n: int) -> Optional[Tensor]:
            if x is None:
                return None
            for i in range(n):
                if i > 3:
                    return x * i
            if n < 0:
                raise ValueError("n is negative")
            return x

        def forward(self, x, n: int):
            y = self.pick(x, n)
            if y is None:
                raise RuntimeError("nothing")
            z = self.pick(None, n)
            return y, z, torch.jit.annotate(Optional[int], None)

    torch.manual_seed(0)
    return torch.jit.script(M()), (torch.randn(2), 2), (torch.randn(2), 7)


@model
def numbers_and_strings():
    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.c = complex(0.0, -0.0)
            self.nan = float("nan")

        def forward(self, x):
            z = torch.tensor(1.0) * 2
            s = "a\tb\\c\"d'e\x01\u00e9{}".format(3)
            low, high = float("-inf"), float("inf")
            w = x + (1 + 2j)
            return z, s, low, high, -0.0, 5e-324, w, self.c, 9223372036854775807, x * 1e-7

    a, b = tensors(2)
    return torch.jit.script(M()), a, b


@model
def zeros_of_both_signs():
    class M(nn.Module):
        def forward(self, x):
            return torch.copysign(x, -0.0), x

    a, b = tensors(2)
    return torch.jit.script(M()), a, b


class Colour(Enum):
    RED = 1
    GREEN = 2


class Name(Enum):
    A = "a"
    B = "b"


@model
def enums():
    class M(nn.Module):
        colour: Colour

        def __init__(self):
            super().__init__()
            self.colour = Colour.GREEN
            self.names = [Name.A, Name.B]

        def forward(self, x, other: Colour = Colour.RED):
            if self.colour == Colour.GREEN and other != Colour.GREEN:
                x = x * self.colour.value
            return x, self.names[0].value, Colour.RED.name, self.names[1] == Name.B

    a, b = tensors(2)
    return torch.jit.script(M()), a, b


@model
def devices_and_dtypes():
    class M(nn.Module):
        device: torch.device

        def __init__(self):
            super().__init__()
            self.device = torch.device("cpu")
            self.other = torch.device("cuda:1")
            self.dtype = torch.float64

        def forward(self, x):
            y = torch.zeros([2, 2], dtype=self.dtype, device=self.device, layout=torch.strided)
            z = x.to(torch.device("cpu"), torch.bfloat16, memory_format=torch.contiguous_format)
            return y, z, x.device == self.other, x.dtype == torch.float32, str(x.device)

    a, b = tensors(2)
    return torch.jit.script(M()), a, b


@model
def any_and_union():
    class M(nn.Module):
        def describe(self, value: Any) -> str:
            if isinstance(value, int):
                return "int"
            elif isinstance(value, (str, float)):
                return "other"
            return "?"

        def forward(self, x, value: Union[int, str]):
            values: List[Any] = [1, "a", x]
            is_int = isinstance(value, int)
            return x, self.describe(value), self.describe(x), len(values), is_int

    a, b = tensors(2)
    return torch.jit.script(M()), (*a, 3), (*b, "text")


# Classes that are no modules


@torch.jit.script
class Counter:
    def __init__(self, start: int):
        self.count = start
        self.seen: List[int] = []

    def add(self, n: int) -> int:
        self.count += n
        self.seen.append(n)
        return self.count

    def shift(self, x: Tensor) -> Tensor:
        return clamp_or_scale(x) + torch.tensor(self.count) + 1


@model
def script_classes():
    class M(nn.Module):
        def forward(self, x, n: int):
            counter = Counter(2)
            for i in range(n):
                counter.add(i)
            counter.count = counter.count + 1
            return counter.shift(x), counter.count, counter.seen

    a, b = tensors(2)
    return torch.jit.script(M()), (*a, 2), (*b, 4)


@model
def objects_as_attributes():
    class M(nn.Module):
        counter: Counter
        anything: Any

        def __init__(self):
            super().__init__()
            self.counter = Counter(2)
            self.same = self.counter
            self.anything = [1, 2]

        def forward(self, x):
            self.counter.add(1)
            return x + self.counter.count, self.same.count

    a, b = tensors(2)
    return torch.jit.script(M()), a, b


# Modules


@torch.jit.interface
class Layer(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        pass


class Twice(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * 2


class Thrice(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x) * 3


@model
def interfaces():
    class M(nn.Module):
        layer: Layer

        def __init__(self):
            super().__init__()
            self.layer = Thrice()
            self.layers = nn.ModuleList([Twice(), Thrice()])

        def forward(self, x, n: int):
            y = self.layer.forward(x)
            layer: Layer = self.layers[n]
            return y, layer.forward(x)

    a, b = tensors(2)
    return torch.jit.script(M()), (*a, 0), (*b, 1)


@model
def interfaces_that_change():
    class M(nn.Module):
        layer: Layer

        def __init__(me):
            super().__init__()
            me.layer = Twice()
            me.other = Thrice()

        def forward(me, x):
            y = me.layer.forward(x)
            me.layer = me.other
            return y, me.layer.forward(x)

    a, b = tensors(2)
    return torch.jit.script(M()), a, b


@model
def frozen():
    torch.manual_seed(0)
    m = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 1))
    a, b = tensors(1, 3, 6, 6)
    return torch.jit.freeze(torch.jit.script(m.eval())), a, b


@model
def traced_inside():
    class M(nn.Module):
        def __init__(self):
            super().__init__()
            inner = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
            self.inner = torch.jit.trace(inner, torch.randn(3, 2))
            self.n = 2

        def forward(self, x):
            for _ in range(self.n):
                x = self.inner(x)
            return x

    a, b = tensors(3, 2)
    return torch.jit.script(M()), a, b


@model
def attributes_that_change():
    class M(nn.Module):
        last: Optional[Tensor]

        def __init__(self):
            super().__init__()
            self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
            self.register_buffer("scratch", torch.zeros(2), persistent=False)
            self.count = 0
            self.last = None
            self.child = nn.BatchNorm1d(2)

        def forward(self, x):
            before = self.count
            self.count += 1
            self.steps += 1
            last = self.last
            if last is not None:
                x = x + last
            self.last = x
            self.scratch = self.scratch + x.sum(0)
            return self.child(x), before, self.count, self.scratch

    a, b = tensors(3, 2)
    return torch.jit.script(M()), a, b


@model
def exported_methods():
    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(2, 2)

        def forward(self, x):
            return self.helper(x, self.linear.weight)

        def helper(self, x, w):
            return x @ w

        @torch.jit.export
        def encode(self, x):
            return self.linear(x), 1

        @torch.jit.ignore
        def debug(self, x):
            return x

        @property
        def size(self) -> int:
            return 3

    a, b = tensors(2, 2)
    return torch.jit.script(M()), a, b


@model
def shared_instances():
    class Block(nn.Module):
        def __init__(self, act):
            super().__init__()
            self.linear = nn.Linear(2, 2)
            self.act = act

        def forward(self, x):
            return self.act(self.linear(x))

    class M(nn.Module):
        def __init__(self):
            super().__init__()
            act = torch.jit.script(nn.Sequential(nn.PReLU()))
            self.a = Block(act)
            self.b = Block(act)
            self.c = self.a
            self.act = act

        def forward(self, x):
            return self.c(self.b(self.a(x))), self.act(x)

    a, b = tensors(2, 2)
    return torch.jit.script(M()), a, b


@model
def one_class_many_instances():
    class Block(nn.Module):
        scale: Final[float]

        def __init__(self, scale):
            super().__init__()
            self.scale = scale
            self.conv = nn.Conv2d(2, 2, 1, bias=False)
            self.bn = nn.BatchNorm2d(2)

        def forward(self, x):
            return self.bn(self.conv(x)).relu() * self.scale

    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.blocks = nn.Sequential(Block(1.0), Block(1.0), Block(2.0))

        def forward(self, x):
            return self.blocks(x)

    a, b = tensors(1, 2, 3, 3)
    return torch.jit.script(M().eval()), a, b


@model
def class_constants():
    class M(nn.Module):
        __constants__ = ["sizes", "pair", "nothing", "name"]
        factor: Final[float] = 0.25

        def __init__(self):
            super().__init__()
            self.sizes = [1, 2]
            self.pair = (1, "a")
            self.nothing = None
            self.name = "\u00e9"
            self.conv = nn.Conv2d(1, 1, 3, padding="same", padding_mode="reflect")

        def forward(self, x):
            return self.conv(x) * self.factor + self.sizes[1], self.pair[1], self.name

    a, b = tensors(1, 1, 4, 4)
    return torch.jit.script(M()), a, b


def before(self, inputs: Tuple[Tensor]) -> Tuple[Tensor]:
    return (inputs[0] * 2,)


def after(self, inputs: Tuple[Tensor], result: Tensor) -> Tensor:
    return result + inputs[0]


@model
def hooks():
    class Inner(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(2, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.linear(x)

    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = Inner()
            self.b = Inner()
            for inner in (self.a, self.b):
                inner.register_forward_pre_hook(before)
                inner.register_forward_hook(after)

        def forward(self, x: Tensor) -> Tensor:
            return self.b(self.a(x))

    m = M()
    m.register_forward_hook(after)
    a, b = tensors(2, 2)
    return torch.jit.script(m), a, b


@model
def own_state():
    class Plain(nn.Module):
        """Changes its state on every load and every save that runs its methods."""

        def __init__(self):
            super().__init__()
            self.register_buffer("w", torch.ones(2))
            self.k = 3

        @torch.jit.export
        def __getstate__(self):
            return self.w + 1, self.k, self.training

        @torch.jit.export
        def __setstate__(self, state: Tuple[Tensor, int, bool]):
            self.w = state[0] * 2
            self.k = state[1]
            self.training = state[2]

        def forward(self, x):
            return x * self.w + self.k

    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = Plain()
            self.b = Plain()

        def forward(self, x):
            return self.b(self.a(x))

    a, b = tensors(2)
    return torch.jit.script(M()), a, b


@model
def packed_weights():
    torch.manual_seed(0)
    m = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
    quantised = torch.ao.quantization.quantize_dynamic(m, {nn.Linear}, dtype=torch.qint8)
    a, b = tensors(2, 4)
    return torch.jit.script(quantised), a, b


@model
def packed_weights_as_constants():
    scripted, a, b = packed_weights()
    return torch.jit.freeze(scripted.eval()), a, b


@model
def contexts_and_prints():
    class M(nn.Module):
        def forward(self, x):
            with torch.no_grad():
                y = x * 2
            print("y", y.shape)
            del x
            return y

    a, b = tensors(2)
    return torch.jit.script(M()), a, b


@model
def forks():
    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(2, 2)

        def forward(self, x):
            future = torch.jit.fork(self.linear, x)
            other = torch.jit.fork(clamp_or_scale, x, 3.0)
            return torch.jit.wait(future) + torch.jit.wait(other)

    a, b = tensors(2, 2)
    return torch.jit.script(M()), a, b


@model
def library_layers():
    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm = nn.LSTM(4, 4, 2, batch_first=True)
            self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
            self.encoder = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True)
            self.norm = nn.GroupNorm(2, 4)
            self.up = nn.Upsample(scale_factor=2.0)
            self.dropout = nn.Dropout(0.5)

        def forward(self, x):
            y, (h, c) = self.lstm(x)
            z, _ = self.attention(y, y, y)
            z = self.dropout(self.encoder(z))
            return self.up(self.norm(z.transpose(1, 2))), h, c

    torch.manual_seed(0)
    a, b = tensors(2, 3, 4)
    return torch.jit.script(M().eval()), a, b


# State


@model
def dtypes_and_layouts():
    class M(nn.Module):
        def __init__(self):
            super().__init__()
            g = torch.Generator().manual_seed(0)
            base = torch.randn(4, 3, 2, 2, generator=g)
            for name in ("bfloat16", "float16", "float64", "float8_e4m3fn", "float8_e5m2"):
                self.register_buffer("b_" + name, base.to(getattr(torch, name)))
            for name in ("uint8", "int8", "int16", "int32", "int64", "bool", "uint16", "uint32"):
                self.register_buffer("b_" + name, (base * 10).abs().to(getattr(torch, name)))
            for name in ("complex64", "complex128"):
                self.register_buffer("b_" + name, base.to(getattr(torch, name)) * 1j)
            self.register_buffer("channels_last", base.to(memory_format=torch.channels_last))
            self.register_buffer("expanded", torch.randn(3, 1, generator=g).expand(3, 5))
            self.register_buffer("overlapping", torch.arange(6.0).as_strided((3, 3), (1, 1)))
            self.register_buffer("scalar", torch.tensor(3.5))
            self.register_buffer("empty", torch.empty(0, 3))
            payload = torch.tensor([0x7FC00001, 0x7F800001, -1], dtype=torch.int32)
            self.register_buffer("payload", payload.view(torch.float32))
            self.register_buffer("conjugated", (base[0] * 1j).to(torch.complex64).conj())
            self.register_buffer("negated", torch.imag((base[0] * 1j).to(torch.complex64).conj()))
            per_tensor = torch.quantize_per_tensor(base, 0.1, 3, torch.quint8)
            self.register_buffer("per_tensor", per_tensor)
            scales, zeros = torch.full((4,), 0.1), torch.zeros(4, dtype=torch.int64)
            per_channel = torch.quantize_per_channel(base, scales, zeros, 0, torch.qint8)
            self.register_buffer("per_channel", per_channel)
            self.register_buffer("sparse", torch.eye(3).to_sparse())
            self.frozen = nn.Parameter(base[0].clone(), requires_grad=False)
            self.trained = nn.Parameter(base[1].clone())
            self.plain = torch.ones(2)

        def forward(self, x):
            return x + self.plain, self.conjugated * 2, self.negated + 1, self.payload

    a, b = tensors(2)
    return torch.jit.script(M()), a, b


@model
def ties_and_views():
    class M(nn.Module):
        def __init__(self):
            super().__init__()
            base = torch.arange(24.0)
            self.register_buffer("whole", base)
            self.register_buffer("part", base[4:16].view(3, 4))
            self.register_buffer("transposed", base[4:16].view(3, 4).t())
            self.a = nn.Linear(3, 3)
            self.b = nn.Linear(3, 3)
            self.b.weight = self.a.weight
            self.list = [base, base[2:]]
            self.same = self.list
            self.a.eval()

        def forward(self, x):
            self.whole.add_(1)
            self.list.append(x)
            return self.b(self.a(x)), self.part.clone(), self.transposed.clone(), len(self.same)

    a, b = tensors(3)
    return torch.jit.script(M()), a, b


@model
def odd_names():
    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_module("0", nn.Linear(2, 2))
            self.register_module("a-b", nn.Linear(2, 2))
            self.register_module("with space", nn.Linear(2, 2))
            self.register_buffer("$dollar", torch.ones(2))
            self.forward1 = nn.Linear(2, 2)
            self.CONSTANTS = nn.Linear(2, 2)

        def forward(self, x):
            return self.forward1(self.CONSTANTS(getattr(self, "0")(x)))

    a, b = tensors(2)
    return torch.jit.script(M()), a, b
