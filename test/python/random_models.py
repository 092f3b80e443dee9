"""Random models, as the text of a Python module: what the property-based test draws.

A model is a straight program over feature maps: each step makes a value of those before, by a
module of its own, a module that others call too, or an operator. The text is complete, so that
a model that fails can be run, and kept, as it is printed.
"""

from dataclasses import dataclass, field

from hypothesis import strategies as st

PRELUDE = '''\
from typing import List

import torch
import torch.nn.functional as F
from torch import nn


class Bottleneck(nn.Module):
    def __init__(self, c, act):
        super().__init__()
        self.cv1, self.cv2, self.act = nn.Conv2d(c, c, 3, padding=1), nn.Conv2d(c, c, 1), act

    def forward(self, x):
        return x + self.act(self.cv2(self.act(self.cv1(x))))


class InplaceBottleneck(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(c, c, 3, padding=1), nn.BatchNorm2d(c)
        self.conv2, self.relu = nn.Conv2d(c, c, 1), nn.ReLU(inplace=True)

    def forward(self, x):
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.conv2(out)
        out += x
        return self.relu(out)


class C2f(nn.Module):
    def __init__(self, c, act):
        super().__init__()
        self.cv1, self.m, self.cv2 = nn.Conv2d(c, c, 1), Bottleneck(c // 2, act), nn.Conv2d(c * 3 // 2, c, 1)

    def forward(self, x):
        a, b = self.cv1(x).chunk(2, 1)
        return self.cv2(torch.cat([a, b, self.m(b)], 1))


class SPPF(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.cv1, self.pool, self.cv2 = nn.Conv2d(c, c, 1), nn.MaxPool2d(3, 1, 1), nn.Conv2d(c * 3, c, 1)

    def forward(self, x):
        x = self.cv1(x)
        y = self.pool(x)
        return self.cv2(torch.cat([x, y, self.pool(y)], 1))


class PConv(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.conv, self.mlp, self.k = nn.Conv2d(c // 2, c // 2, 3, padding=1), nn.Conv2d(c, c, 1), c // 2

    def forward(self, x):
        x = x.clone()
        x[:, : self.k] = self.conv(x[:, : self.k])
        return self.mlp(x)


class Attention(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.norm, self.qkv, self.proj = nn.LayerNorm(c), nn.Linear(c, 3 * c), nn.Linear(c, c)

    def forward(self, x):
        b, c, h, w = x.shape
        y = x.flatten(2).transpose(1, 2)
        q, k, v = self.qkv(self.norm(y)).chunk(3, 2)
        a = torch.matmul(q, k.transpose(1, 2)).softmax(2)
        y = y + self.proj(torch.matmul(a, v))
        return y.transpose(1, 2).reshape(b, c, h, w)


class Recurrent(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.cell = nn.Conv2d(2 * c, c, 1)

    def forward(self, x):
        h = torch.zeros_like(x)
        for _ in range(2):
            h = torch.tanh(self.cell(torch.cat([x, h], 1)))
        return h


class DropPath(nn.Module):
    def forward(self, x):
        return x


class Residual(nn.Module):
    def __init__(self, body):
        super().__init__()
        self.body, self.drop = body, DropPath()

    def forward(self, x):
        return x + self.drop(self.body(x))


class Calls(nn.Module):
    """Calls a module that it is given: under its own name, and twice."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return self.inner(self.inner(x)) * 0.5


class Level(nn.Module):
    """One level of a head, with a tail of its own."""

    def __init__(self, c):
        super().__init__()
        self.box, self.cls = nn.Conv2d(c, 4, 1), nn.Conv2d(c, 2, 1)

    def forward(self, x):
        box = self.box(x).flatten(2).permute(0, 2, 1)
        cls = self.cls(x).flatten(2).permute(0, 2, 1).sigmoid()
        return torch.cat([box, cls], 2)


class Decode(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.register_buffer("scale", torch.rand(1, c, 1, 1))

    def forward(self, x):
        y = x.sigmoid() * 2 - 0.5
        y[:, :1] = y[:, :1] * self.scale[:, :1]
        return y * self.scale


class OutNop(nn.Module):
    def forward(self, x):
        return x


class TimesOne(nn.Module):
    def forward(self, x):
        return x * 1


class ViewAs(nn.Module):
    def forward(self, x):
        return x.view_as(x)


'''

ACTIVATIONS = (
    "nn.ReLU()",
    "nn.ReLU(inplace=True)",
    "nn.SiLU()",
    "nn.SiLU(inplace=True)",
    "nn.LeakyReLU(0.1, inplace=True)",
    "nn.Hardswish()",
    "nn.ReLU6(inplace=True)",
    "nn.GELU()",
    "nn.PReLU()",
)
# Modules that keep the number of channels and the size; {c} is the number, {act} an activation.
BLOCKS = (
    "nn.Conv2d({c}, {c}, 3, padding=1)",
    "nn.Sequential(nn.Conv2d({c}, {c}, 1), nn.BatchNorm2d({c}), {act})",
    "nn.Sequential(nn.Conv2d({c}, {c}, 3, padding=1, groups={c}), {act})",
    "nn.Sequential(nn.Conv2d({c}, {c}, 1), nn.Identity(), {act}, nn.Dropout(0.1))",
    "nn.utils.weight_norm(nn.Conv2d({c}, {c}, 1))",
    "Bottleneck({c}, {act})",
    "InplaceBottleneck({c})",
    "C2f({c}, {act})",
    "SPPF({c})",
    "PConv({c})",
    "Attention({c})",
    "Recurrent({c})",
    "Residual(nn.Conv2d({c}, {c}, 1))",
    "nn.Sequential(nn.ConvTranspose2d({c}, {c}, 2, 2), nn.MaxPool2d(2))",
)
# Of those, the ones that torch.jit.script cannot take: weight_norm's hook.
UNSCRIPTABLE = ("weight_norm",)
# Operators that keep the number of channels and the size.
POINTWISE = (
    "{x}.relu()",
    "{x}.sigmoid()",
    "torch.tanh({x})",
    "{x} * 2",
    "{x}.softmax(1)",
    "F.silu({x})",
    "{x} + {y}",
    "{x} * {y}",
    "{x}.clone()",
    "F.max_pool2d(F.interpolate({x}, scale_factor=2.0), 2)",
)
IN_PLACE = (
    "{x}.relu_()",
    "{x}.mul_(2)",
    "{x}.add_(1)",
    "{x}[:, :1].sigmoid_()",
    "{x}[:, :1] = 0",
    "{x} += {y}",
    "{x}[:, 1:] = {x}[:, 1:] * 0.5",
)
# Operators that end in something else than a feature map.
ENDS = (
    "{x}.flatten(2).permute(0, 2, 1)",
    "{x}.mean((2, 3))",
    "{x}.permute(0, 2, 3, 1).reshape({x}.shape[0], -1, 2)",
    "{x}.view({x}.shape[0], {x}.shape[1], -1).softmax(2)",
    "torch.cat([{x}.flatten(2), {y}.flatten(2)], 2)",
    "{x}.sigmoid().flatten(1).topk(2)[0]",
    "F.interpolate({x}, size={y}.shape[-2:])",
)
HEADS = ("nn.Conv2d({c}, 2, 1)", "Level({c})", "nn.Sequential(nn.Conv2d({c}, 2, 1), Decode(2))")
NOPS = ("OutNop()", "TimesOne()", "ViewAs()", "torch.jit.script(OutNop())")
RETURNS = ("tuple", "list", "nested", "dict", "twice", "input", "one")


@dataclass
class Model:
    """A drawn model: the lines of its constructor and of forward, and how it is saved."""

    makes: list[str] = field(default_factory=list)
    does: list[str] = field(default_factory=list)
    returns: str = ""
    scripted: bool = False
    has_flag: bool = False

    def __repr__(self) -> str:
        return f"# {'scripted' if self.scripted else 'traced'}\n{self.source()}"

    def source(self) -> str:
        """The text of the Python module that defines `Net` and `inputs`."""
        flag = ", flag: bool = True" if self.has_flag else ""
        lines = [
            "class Net(nn.Module):",
            "    def __init__(self):",
            "        super().__init__()",
            *(f"        {line}" for line in self.makes),
            "",
            f"    def forward(self, x{flag}):",
            *(f"        {line}" for line in self.does),
            f"        return {self.returns}",
            "",
            "",
            "def inputs():",
            "    return (torch.randn(1, 3, 8, 8),)",
            "",
        ]
        return PRELUDE + "\n".join(lines)


class _Builder:
    """Draws one model step by step."""

    def __init__(self, draw) -> None:
        self.draw = draw
        self.model = Model(scripted=draw(st.integers(0, 4)) == 4)
        self.channels = draw(st.sampled_from((4, 6)))
        # The values so far that are feature maps of the common shape, and the others.
        self.maps: list[str] = []
        self.ends: list[str] = []
        # The modules that keep a map's shape, and so can be called again.
        self.modules: list[str] = []
        self.nops: list[str] = []
        self.count = 0

    def choose(self, options):
        return self.draw(st.sampled_from(options))

    def name(self, prefix: str) -> str:
        self.count += 1
        return f"{prefix}{self.count}"

    def make(self, expression: str, prefix="m") -> str:
        name = self.name(prefix)
        self.model.makes.append(f"self.{name} = {expression}")
        return name

    def activation(self) -> str:
        return "self.act" if self.shares_act else self.choose(ACTIVATIONS)

    def block(self) -> str:
        options = BLOCKS
        if self.model.scripted:
            options = tuple(b for b in BLOCKS if not any(u in b for u in UNSCRIPTABLE))
        return self.choose(options).format(c=self.channels, act=self.activation())

    def assign(self, expression: str) -> None:
        name = self.name("v")
        self.model.does.append(f"{name} = {expression}")
        self.maps.append(name)

    def any_map(self) -> str:
        # The latest values are the likeliest: deep models rather than wide ones.
        return self.choose(self.maps[-3:] + self.maps[-1:] * 3)

    def step(self) -> None:
        kinds = ("block",) * 4 + ("again",) * 2 + ("wrap", "point", "point", "place", "end", "end")
        kinds += ("head", "head", "nop", "chunk", "levels", "branch", "loop")
        getattr(self, f"step_{self.choose(kinds)}")()

    def step_block(self) -> None:
        module = self.make(self.block())
        self.modules.append(module)
        self.assign(f"self.{module}({self.any_map()})")

    def step_again(self) -> None:
        if self.modules:
            self.assign(f"self.{self.choose(self.modules)}({self.any_map()})")

    def step_wrap(self) -> None:
        if not self.modules:
            return
        inner = f"self.{self.choose(self.modules)}"
        wrapper = self.choose(
            ("Calls({})", "nn.Sequential({}, nn.ReLU())", "Residual({})", "nn.Sequential({0}, {0})")
        )
        module = self.make(wrapper.format(inner))
        self.modules.append(module)
        self.assign(f"self.{module}({self.any_map()})")

    def step_point(self) -> None:
        self.assign(self.choose(POINTWISE).format(x=self.any_map(), y=self.any_map()))

    def step_place(self) -> None:
        x, y = self.any_map(), self.any_map()
        # Nobody writes the model's input, and no sum is written to itself.
        if x != "x":
            self.model.does.append(self.choose(IN_PLACE).format(x=x, y=y))

    def step_end(self) -> None:
        name = self.name("t")
        self.model.does.append(
            f"{name} = " + self.choose(ENDS).format(x=self.any_map(), y=self.any_map())
        )
        self.ends.append(name)

    def step_head(self) -> None:
        module = self.make(self.choose(HEADS).format(c=self.channels), "head")
        name = self.name("t")
        self.model.does.append(f"{name} = self.{module}({self.any_map()})")
        self.ends.append(name)

    def step_nop(self) -> None:
        if self.nops and self.draw(st.booleans()):
            nop = self.choose(self.nops)
        else:
            nop = f"out_nop{len(self.nops) or ''}"
            self.nops.append(nop)
            self.model.makes.append(f"self.{nop} = {self.choose(NOPS)}")
        self.assign(f"self.{nop}({self.any_map()})")

    def step_chunk(self) -> None:
        a, b = self.name("c"), self.name("c")
        self.model.does.append(f"{a}, {b} = {self.any_map()}.chunk(2, 1)")
        self.assign(
            self.choose(("torch.cat([{1}, {0}], 1)", "torch.cat([{0}, {0}], 1)")).format(a, b)
        )
        self.ends.append(b)

    def step_levels(self) -> None:
        """One head over several levels, as RetinaNet has it."""
        head = self.make(f"nn.Conv2d({self.channels}, 2, 1)", "head")
        levels = [self.any_map() for _ in range(self.draw(st.integers(2, 3)))]
        outs = self.name("t")
        self.model.does += [
            f"{outs}: List[torch.Tensor] = []",
            *(f"{outs}.append(self.{head}({x}).flatten(2).permute(0, 2, 1))" for x in levels),
        ]
        name = self.name("t")
        self.model.does.append(f"{name} = torch.cat({outs}, 1)")
        self.ends.append(name)

    def step_branch(self) -> None:
        if not self.model.scripted:
            return
        self.model.has_flag = True
        x, y, name = self.any_map(), self.any_map(), self.name("v")
        module = self.make(self.block())
        other = self.choose((f"{y}", f"self.{module}({y}) * 2", f"{y}.sigmoid()"))
        self.model.does += [
            "if flag:",
            f"    {name} = self.{module}({x})",
            "else:",
            f"    {name} = {other}",
        ]
        self.maps.append(name)

    def step_loop(self) -> None:
        module = self.make(self.block())
        name, x = self.name("v"), self.any_map()
        rounds = self.draw(st.integers(1, 3))
        self.model.does += [
            f"{name} = {x} * 1.5",
            f"for _ in range({rounds}):",
            f"    {name} = self.{module}({name})",
        ]
        self.maps.append(name)

    def build(self) -> Model:
        self.shares_act = self.draw(st.booleans())
        if self.shares_act:
            self.model.makes.append(f"self.act = {self.choose(ACTIVATIONS)}")
        self.model.makes.append(f"self.stem = nn.Conv2d(3, {self.channels}, 3, padding=1)")
        self.assign("self.stem(x)")
        for _ in range(self.draw(st.integers(1, 9))):
            self.step()
        values = self.maps[-2:] + self.ends
        chosen = self.draw(st.lists(st.sampled_from(values), min_size=1, max_size=4, unique=True))
        self.model.returns = self.returned(chosen)
        return self.model

    def returned(self, values: list[str]) -> str:
        kind = self.choose(RETURNS)
        joined = ", ".join(values)
        if kind == "one":
            return values[0]
        if kind == "list":
            return f"[{joined}]"
        if kind == "nested":
            return f"({values[0]}, [{joined}])"
        if kind == "dict":
            return "{" + ", ".join(f"'k{i}': {v}" for i, v in enumerate(values)) + "}"
        if kind == "twice":
            return f"({joined}, {values[0]})"
        if kind == "input":
            return f"(x, {joined})"
        return f"({joined},)"


@st.composite
def models(draw) -> Model:
    """Draws a model."""
    return _Builder(draw).build()
