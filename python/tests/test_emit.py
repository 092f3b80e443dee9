"""`--emit=python`: the package computes, holds, trains and reads like the model."""

import ast
import copy
import functools
import math
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Tuple

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from conftest import (
    PROGRAM,
    SHARED_MODELS,
    Emitted,
    KitConv,
    describe_state,
    difference,
    run,
    save_trace,
)
from torch import Tensor, nn

from fqat.stage import load_package

pytestmark = pytest.mark.skipif(not PROGRAM, reason="FQAT_OPT does not name the program")
RUFF = shutil.which("ruff", path=os.pathsep.join([str(Path(sys.executable).parent), os.defpath]))
SYSTEM_PYTHON = "/usr/bin/python3"
Emit = Callable[..., Emitted]
X = torch.randn(2, 4, 6, 8, generator=torch.Generator().manual_seed(0))
OFFSETS = X[0] * 2


def conv(inputs: int = 4, outputs: int = 4) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 1)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Layers this small are slower in more threads, and on a busy machine all are."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


# What every package must fulfil -------------------------------------------------------------------


def assert_same_state(fixed: torch.jit.ScriptModule, model: nn.Module) -> None:
    assert list(model.state_dict()) == list(fixed.state_dict())
    assert difference(dict(fixed.state_dict()), dict(model.state_dict())) is None
    assert describe_state(model).keys() == describe_state(fixed).keys()
    for name, (*facts, is_kept) in describe_state(model).items():
        *expected, _ = describe_state(fixed)[name]
        assert (name, facts) == (name, expected)
        is_parameter = name in dict(fixed.named_parameters(remove_duplicate=False))
        assert is_kept == is_parameter, name
    scripts = dict(fixed.named_modules(remove_duplicate=False))
    modules = dict(model.named_modules(remove_duplicate=False))
    assert list(modules) == list(scripts)
    for name, module in modules.items():
        if scripts[name]._c._has_method("__setstate__"):
            continue  # its flag is a part of its state, and eval() came later
        assert module.training == getattr(scripts[name], "training", module.training), name


def get_gradients(model: nn.Module, inputs: Tuple[Any, ...]) -> Dict[str, Optional[Tensor]]:
    torch.manual_seed(0)
    parts: List[Any] = [model(*copy.deepcopy(inputs))]
    total = torch.zeros(())
    for part in parts:
        if isinstance(part, (list, tuple)):
            parts += part
        elif isinstance(part, dict):
            parts += part.values()
        elif isinstance(part, Tensor) and part.requires_grad:
            ramp = torch.linspace(0.5, 1.5, part.numel(), dtype=torch.float64)
            total = total + (part.double() * ramp.view(part.shape)).sum()
    if total.requires_grad:
        total.backward()
    return {name: p.grad for name, p in model.named_parameters(remove_duplicate=False)}


def assert_same_gradients(expected: nn.Module, model: nn.Module, inputs: Tuple[Any, ...]) -> None:
    after = get_gradients(model, inputs)
    try:
        before = get_gradients(expected, inputs)
    except RuntimeError:  # an in-place write that autograd refuses; the package has none
        return
    assert [k for k in before if before[k] is None] == [k for k in after if after[k] is None]
    for name, gradient in before.items():
        if gradient is not None:
            torch.testing.assert_close(after[name], gradient, rtol=1e-3, atol=1e-5, msg=name)


def assert_comes_back(emitted: Emitted, expected: Any) -> None:
    """Tracing the package and fixing that trace gives the fixed model again."""
    source, output = emitted.folder / "again.pt", emitted.folder / "again.fixed.pt"
    save_trace(emitted.build(), emitted.inputs, source)
    run(source, "-q", "-o", output, *emitted.arguments)
    again = torch.jit.load(str(output))
    assert list(again.state_dict()) == list(emitted.load_fixed().state_dict())
    again.load_state_dict(emitted.build().state_dict())  # what the traced run has changed
    assert difference(expected, emitted.run(again)) is None


def assert_well_written(package: Path) -> None:
    text = (package / "model.py").read_text(encoding="utf-8")
    ast.parse(text, feature_version=(3, 6))
    if RUFF is not None:
        for command in (["check", "-q"], ["format", "--diff", "-q"]):
            done = subprocess.run(
                [RUFF, *command, "--isolated", str(package)], capture_output=True, text=True
            )
            assert done.returncode == 0, done.stdout


def assert_right(emitted: Emitted, fx: bool = True, trace: bool = True) -> None:
    """Asserts all of it."""
    assert_same_state(emitted.load_fixed(), emitted.build())
    expected = emitted.run(emitted.load_fixed())
    assert difference(expected, emitted.run(emitted.build())) is None
    assert_same_gradients(emitted.load_fixed(), emitted.build(), emitted.inputs)
    if fx:
        assert difference(expected, emitted.run(torch.fx.symbolic_trace(emitted.build()))) is None
    assert difference(expected, emitted.run(torch.jit.script(emitted.build()))) is None
    if trace:
        assert_comes_back(emitted, expected)
    assert_well_written(emitted.package)


# Traced code --------------------------------------------------------------------------------------


class Apply(nn.Module):
    """What a function makes of a layer's output."""

    def __init__(self, function: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.conv = conv()
        self.function = function

    def forward(self, x: Tensor) -> Any:
        return self.function(self.conv(x))


def write_in_place(x: Tensor) -> Any:
    y = x.clone()
    y[:, 0] = 1
    y[:, 1:3] = x[:, :2]
    y[y > 0.5] = 0
    y[:, [1, 3]] = 4
    y[..., 2:4] *= 3
    y[:, 1].add_(x[:, 2], alpha=2)
    y.clamp_(-1, 5).mul_(2)
    return y, y.exp_()


def activate_in_place(x: Tensor) -> Tensor:
    x = x + 1
    for function in (F.relu, F.silu, F.elu, F.selu, F.celu, F.hardswish, F.mish, F.relu6):
        x = function(x, inplace=True) + x
    x = F.threshold(x, 0.1, 1, inplace=True)
    x = F.hardtanh(F.leaky_relu(x, 0.2, inplace=True), -1, 1, inplace=True)
    return torch.tanh_(x)


def take_sizes(x: Tensor) -> Any:
    b, c, h, w = x.shape
    high = math.ceil(h / 4) * 4
    return (
        x.view(b, c // 2, 2, h, w).transpose(1, 2).contiguous().view(b, -1, h, w),
        F.pad(x, (0, (4 - h % 4) % 4, 0, high - h)),
        torch.zeros((h + 3) // 4, -(-w // 3)),
        torch.arange(h * w).view(h, w),
        x[:, :, : h // 2, 1 : w - 1],
        F.interpolate(x[:, :, ::2], size=(h, w), mode="bilinear", align_corners=False),
        F.adaptive_avg_pool2d(x, (h // 2, w // 2)),
        x * c + (w // 2 + h % 4 - 3),
        x.expand(b, c, h, w).reshape(b * c, -1),
        torch.linspace(-1, 1, w),
    )


def take_parts(x: Tensor) -> Any:
    a, b = x.chunk(2, 1)
    c, d, e = torch.split(x, [1, 1, 2], 1)
    values, places = x.topk(2, 1)
    return a - b, c, d + 1, e, x.unbind(1)[2], values, places, x.max(1)[0], x.sort(1)[0]


FUNCTIONS: Dict[str, Callable[[Tensor], Any]] = {
    "slices": lambda x: (
        x[:, 1:3],
        x[..., ::2],
        x[:, :, -3:],
        x[:, -1],
        x[:, None, ..., 1:-1],
        x[0, 1, 2, 3],
        x[:, :: x.size(1) - 1],
    ),
    "places": lambda x: (
        x[x > 0],
        x[:, [0, 2]],
        x[:, None, [1, 2]],
        x[:, :, torch.tensor([0, 1]), torch.tensor([1, 2])],
        x[torch.arange(2), x.argmax(1)[:, 0, 0]],
    ),
    "parts": take_parts,
    "writes": write_in_place,
    "activations": activate_in_place,
    "sizes": take_sizes,
    "constants": lambda x: (
        x * torch.tensor([1.0, 2.0, 3.0, 4.0]).view(1, 4, 1, 1),
        x + OFFSETS,
        torch.where(x > 0, x, torch.tensor(float("-inf"))),
        torch.tensor([True, False]),
        torch.tensor([0.1, float("nan"), float("inf"), -0.0], dtype=torch.float16),
        torch.tensor([], dtype=torch.int8),
        torch.tensor(1 + 2j),
        x * -0.0,
    ),
    "arithmetic": lambda x: (
        x * 3 - 2 * x,
        2 - x,
        2 / x,
        x.detach() // 2 + x % 3,
        x**2 + x**-1 + (-x) ** 3 - (-(x**2)),
        2**x,
        x - (x - 1) + -(x + 1),
        (x + 1) * (x / (x / 2)),
        ~(x > 0) & (x < 1) | (x != 0) ^ (x >= 1),
        x @ x.transpose(-1, -2),
        x * 1e-30 + 1e20,
    ),
    "dtypes": lambda x: (
        x.half(),
        x.to(torch.float64) * 2,
        x.long(),
        x.type_as(x.double()),
        x.to(memory_format=torch.channels_last),
        torch.ones_like(x[:, :1], dtype=torch.bool),
        x.new_zeros(x.size(0), 1),
    ),
    "functions": lambda x: (
        F.gelu(x, approximate="tanh"),
        F.softplus(x, 2),
        F.normalize(x, dim=1),
        F.pad(x, (1, 1, 1, 1), "reflect"),
        F.pad(x, (1, 0), value=2.0),
        F.max_pool2d(x, 2),
        F.layer_norm(x, x.shape[1:]),
        F.grid_sample(x, torch.zeros(2, 3, 3, 2), align_corners=True),
        F.interpolate(x, scale_factor=2.0),
        F.conv2d(x, torch.ones(4, 1, 3, 3), padding="same", groups=4),
        F.conv_transpose2d(x, torch.ones(4, 2, 2, 2), stride=2),
        torch.einsum("bchw,bchw->bc", x, x),
        torch.cat([x, x], 1).flip(2).roll(1, 3),
        x.clamp(min=0).sum((2, 3), keepdim=True) / x.norm(dim=1, keepdim=True),
    ),
    "results": lambda x: {"b": x, "a": x * 2},
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_traced_code(emit: Emit, name: str) -> None:
    assert_right(emit(Apply(FUNCTIONS[name]).eval(), X))


def test_random_numbers_are_drawn_in_order(emit: Emit) -> None:
    model = Apply(lambda x: (x + torch.randn_like(x), x * torch.rand(x.shape[0], 1, 1, 1)))
    assert_right(emit(model.eval(), X))


def test_sizes_are_those_of_each_input(emit: Emit) -> None:
    emitted = emit(Apply(take_sizes).eval(), X)
    fixed, model = emitted.load_fixed(), emitted.build()
    other = torch.randn(3, 4, 10, 12)
    with torch.no_grad():
        assert difference(fixed(other), model(other)) is None


class Detector(nn.Module):
    """A layer called twice, features returned, a decoded tail, and a buffer that does not last."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(conv(), nn.BatchNorm2d(4), nn.SiLU(inplace=True))
        self.heads = nn.ModuleDict({"box": conv(4, 6), "cls": conv(4, 2)})
        self.register_buffer("anchors", torch.rand(3, 1, 1, 2), persistent=False)

    def forward(self, x: Tensor) -> Any:
        levels = [self.stem(x), F.max_pool2d(self.stem(x + 1), 2)]
        boxes = []
        for level in levels:
            b, _, h, w = level.shape
            box = self.heads["box"](level).view(b, 3, 2, h, w).permute(0, 1, 3, 4, 2).contiguous()
            ys, xs = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
            box = box.sigmoid()
            box[..., 0:2] = box[..., 0:2] * 2 + torch.stack((xs, ys), 2).float()
            boxes.append((box * self.anchors).view(b, -1, 2))
        return torch.cat(boxes, 1), self.heads["cls"](levels[0]), levels


def test_long_chains_can_be_read(emit: Emit) -> None:
    layers = [layer for _ in range(60) for layer in (conv(), nn.Sigmoid())]
    emitted = emit(nn.Sequential(*layers).eval(), X)
    # Python 3.6 takes 90 brackets in each other.
    assert max(line.count("(") for line in emitted.text.splitlines()) < 12
    assert max(len(line) - len(line.lstrip()) for line in emitted.text.splitlines()) < 60
    assert_right(emitted)


@pytest.mark.parametrize(
    "options", [(), ("--clone-params", "share"), ("--nop-instances", "owner")], ids=" ".join
)
def test_detector(emit: Emit, options: Tuple[str, ...]) -> None:
    emitted = emit(Detector().eval(), X, *options)
    assert_right(emitted)
    run("--check", "-q", emitted.folder / "again.fixed.pt", *options)


# Classes of torch.nn ------------------------------------------------------------------------------


class Each(nn.Module):
    """Layers that all read the same."""

    def __init__(self, layers: List[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x: Tensor) -> List[Tensor]:
        # In-place layers write into values of their own.
        return [layer(x * 1) for layer in self.layers]


def convolutions(rank: int) -> List[nn.Module]:
    plain = getattr(nn, "Conv{}d".format(rank))
    transposed = getattr(nn, "ConvTranspose{}d".format(rank))
    return [
        plain(4, 6, 3),
        plain(4, 6, 3, stride=2, padding=1, dilation=2, groups=2, bias=False),
        plain(4, 6, 2, padding="same"),
        plain(4, 6, 3, padding="valid"),
        *(plain(4, 6, 3, padding=1, padding_mode=m) for m in ("circular", "reflect", "replicate")),
        transposed(4, 6, 3),
        transposed(4, 6, 3, 3, padding=1, output_padding=1, groups=2, bias=False, dilation=2),
    ]


def norms(rank: int) -> List[nn.Module]:
    batch = getattr(nn, "BatchNorm{}d".format(rank))
    instance = getattr(nn, "InstanceNorm{}d".format(rank))
    return [
        batch(4),
        batch(4, eps=1e-3, momentum=0.03),
        batch(4, affine=False),
        batch(4, track_running_stats=False),
        instance(4, affine=True),
        instance(4, affine=True, track_running_stats=True),
        nn.GroupNorm(2, 4, eps=1e-2),
    ]


INPLACE = [nn.ReLU, nn.ReLU6, nn.SiLU, nn.SELU, nn.Mish, nn.Hardswish, nn.Hardsigmoid]
LAYERS: Dict[str, List[nn.Module]] = {
    **{"convolutions{}".format(rank): convolutions(rank) for rank in (1, 2, 3)},
    **{"norms{}".format(rank): norms(rank) for rank in (1, 2, 3)},
    "activations": [
        *(make(inplace=flag) for make in INPLACE for flag in (False, True)),
        *(make() for make in (nn.Sigmoid, nn.Tanh, nn.GELU, nn.Softplus, nn.PReLU, nn.ELU)),
        *(nn.GELU("tanh"), nn.Softplus(0.5, 10.0), nn.PReLU(4), nn.Softmax(1), nn.LogSoftmax(-1)),
        *(nn.ELU(0.3), nn.CELU(0.3, True), nn.LeakyReLU(0.2, True), nn.Hardtanh(-2.0, 3.0)),
    ],
    "pooling": [
        nn.MaxPool2d(2),
        nn.MaxPool2d((2, 3), (1, 2), 1, (1, 2), ceil_mode=True),
        nn.AvgPool2d(3, 2, 1, True, False),
        nn.AdaptiveAvgPool2d((2, 3)),
    ],
    "resizing": [
        nn.Upsample(scale_factor=2),
        nn.Upsample(size=(7, 9)),
        nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True),
        nn.Upsample(scale_factor=(1.5, 2.0), mode="bicubic", align_corners=False),
        nn.ZeroPad2d((1, 0, 2, 1)),
        nn.ConstantPad2d(1, 0.5),
        nn.ReflectionPad2d(1),
        nn.ReplicationPad2d(2),
        nn.PixelShuffle(2),
        nn.Flatten(),
        nn.Flatten(1, 2),
    ],
    "dropout": [nn.Dropout(0.3), nn.Dropout(0.3, inplace=True), nn.Dropout2d(0.2)],
    "linear": [
        nn.Linear(8, 5),
        nn.Linear(8, 5, bias=False),
        nn.LayerNorm(8),
        nn.LayerNorm([6, 8], eps=1e-3),
        nn.LayerNorm(8, elementwise_affine=False),
    ],
}


def get_input(name: str) -> Tensor:
    rank = int(name[-1]) if name[-1].isdigit() else 2
    return torch.randn(2, 4, *(9, 10, 11)[:rank]) if rank != 2 else X


def describe(layer: nn.Module) -> str:
    return "{}({})".format(type(layer).__name__, layer.extra_repr())


def test_moves_to_another_device(emit: Emit) -> None:
    def add_places(x: Tensor) -> Tensor:
        x = x + torch.arange(x.size(3), device=x.device) + OFFSETS.to(x)
        return x * torch.ones(1, dtype=x.dtype, device=x.device) + x.new_zeros(x.size(2), 1)

    made = emit(Apply(add_places).eval(), X).build().to("meta")
    assert made(X.to("meta")).device.type == "meta"


@pytest.mark.parametrize("name", LAYERS)
def test_layers_of_torch(emit: Emit, name: str) -> None:
    for training in (False, True) if name.startswith(("norms", "dropout")) else (False,):
        model = Each(copy.deepcopy(LAYERS[name])).train(training)
        emitted = emit(model, get_input(name))
        expected = [describe(layer) for layer in model.layers]
        assert [describe(layer) for layer in emitted.build().layers] == expected
        assert_right(emitted)


@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_layers_follow_the_mode(emit: Emit, rank: int, training: bool) -> None:
    norm = getattr(nn, "InstanceNorm{}d".format(rank))
    batch = getattr(nn, "BatchNorm{}d".format(rank))
    unnamed = [norm(4), batch(4, affine=False, track_running_stats=False)]
    model = Each([*norms(rank), *unnamed, nn.Dropout(0.3)]).train(training)
    emitted = emit(model, get_input("norms{}".format(rank)))
    made = emitted.build()
    made.load_state_dict(model.state_dict())  # of before the trace
    for mode in (not training, training):
        model.train(mode)
        made.train(mode)
        assert difference(emitted.run(model), emitted.run(made)) is None
        assert difference(dict(model.state_dict()), dict(made.state_dict())) is None


def test_mean_of_all_batches_is_kept(emit: Emit) -> None:
    made = emit(nn.Sequential(conv(), nn.BatchNorm2d(4, momentum=None)).eval(), X).build()
    assert made[1].momentum is None


class Functions(nn.Module):
    """Functions that are told the mode."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = conv()

    def forward(self, x: Tensor) -> List[Tensor]:
        x = self.conv(x)
        return [
            F.dropout(x * 1, 0.5, self.training),
            F.dropout2d(x * 2, 0.5, self.training),
            F.alpha_dropout(x * 3, 0.5, self.training),
            F.rrelu(x, training=self.training),
            F.batch_norm(x, torch.zeros(4), torch.ones(4), training=self.training),
        ]


@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
def test_functions_follow_the_mode(emit: Emit, training: bool) -> None:
    model = Functions().train(training)
    emitted = emit(model, X)
    made = emitted.build()
    for mode in (True, False):
        assert difference(emitted.run(model.train(mode)), emitted.run(made.train(mode))) is None


def test_recurrent_layers_follow_the_mode(emit: Emit) -> None:
    model = nn.LSTM(4, 5, 2, dropout=0.5).eval()
    emitted = emit(model, torch.randn(3, 2, 4))
    assert_right(emitted)
    made = emitted.build().train()
    assert difference(emitted.run(model.train()), emitted.run(made)) is None


def test_attention_trains(emit: Emit) -> None:
    model = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0).train()
    assert_right(emit(model, torch.randn(5, 2, 8)))


def test_embedding(emit: Emit) -> None:
    model = nn.Sequential(nn.Embedding(10, 4, padding_idx=2), nn.Linear(4, 3)).eval()
    emitted = emit(model, torch.randint(0, 10, (2, 5)))
    assert describe(emitted.build()[0]) == describe(model[0])
    assert_right(emitted)
    limited = nn.Sequential(nn.Embedding(10, 4, max_norm=1.0), nn.Linear(4, 3)).eval()
    emitted = emit(limited, torch.randint(0, 10, (2, 5)))
    assert difference(emitted.run(emitted.load_fixed()), emitted.run(emitted.build())) is None


# Names, containers, tensors -----------------------------------------------------------------------


class Chain(nn.Module):
    """Runs what it holds: modules, and factors."""

    def forward(self, x: Tensor) -> Tensor:
        for name in self.order:
            member = getattr(self, name)
            x = member(x) if isinstance(member, nn.Module) else x * member
        return x


def make_chain(class_name: str = "Net", **members: Any) -> nn.Module:
    model = type(class_name, (Chain,), {})()
    for name, member in members.items():
        if isinstance(member, nn.Module):
            model.add_module(name, member)
        else:
            model.register_parameter(name, nn.Parameter(torch.randn(4, 1, 1)))
    model.order = list(members)
    return model.eval()


NAMES = {
    "functions": "forward1 torch F nn layers print build load read ops nop weights device",
    "values": "x model os to_int constant0 constants fx GROUPS args kwargs",
    "numbers": "0 1 a 2",
    "numbers_behind": "a 0 1",
    "numbers_with_gaps": "0 2 10",
    "odd": "a-b a_b member_a_b,c d,1x,_y,__z,__dunder__",
    "tensors": "weight=,0,bias=,1,2=",
}


@pytest.mark.parametrize("name", NAMES)
def test_names_of_members(emit: Emit, name: str) -> None:
    names = NAMES[name].split("," if "," in NAMES[name] else " ")
    members = {n.rstrip("="): 0 if n.endswith("=") else conv() for n in names}
    assert_right(emit(make_chain(**members), X))


def test_member_called_self(emit: Emit) -> None:
    assert_right(emit(make_chain(self=conv(), other=0), X), fx=False)  # which torch.fx cannot


CLASS_NAMES = """
    Layers build load read model device layers constants torch nn F os fx Tensor List super list
    int len getattr isinstance KeyError ImportError Conv2d Sequential ReLU Net
"""


@pytest.mark.parametrize("root", ["OutNop", "model", "torch"])
def test_names_of_classes(emit: Emit, root: str) -> None:
    names = enumerate(CLASS_NAMES.split())
    parts = {"part{}".format(i): make_chain(name, a=conv(), b=0) for i, name in names}
    resize = nn.Upsample(scale_factor=2, mode="bicubic", align_corners=False)
    assert_right(emit(make_chain(root, a=conv(), resize=resize, **parts), X))


class Extended(nn.Sequential):
    """A Sequential that does more."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__(*layers)
        self.scale = nn.Parameter(torch.ones(4, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * self.scale + x


class Containers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            nn.ModuleDict({"a b": conv(), "0": nn.ModuleList([conv()])}) for _ in range(2)
        )
        self.chain = nn.Sequential(conv(), nn.Sequential(nn.Identity(), conv()))
        self.extended = Extended(conv())
        self.scales = nn.ParameterList([nn.Parameter(torch.ones(4, 1, 1)) for _ in range(2)])
        self.offsets = nn.ParameterDict({"a": nn.Parameter(torch.ones(4, 1, 1))})
        self.unused = nn.ModuleDict({"a": nn.Sequential(conv(), nn.BatchNorm2d(4))})
        self.empty = nn.ModuleList()
        self.nothing = None
        self.register_parameter("none", None)
        self.register_buffer("no_buffer", None)

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block["0"][0](block["a b"](x))
        x = self.extended(self.chain(x))
        return x * self.scales[0] + self.scales[1] * self.offsets["a"]


def test_containers(emit: Emit) -> None:
    emitted = emit(Containers().eval(), X)
    assert_right(emitted)
    made = emitted.build()
    kinds = [type(made.get_submodule(n)) for n in ("blocks", "blocks.1", "chain", "chain.1")]
    assert kinds == [nn.ModuleList, nn.ModuleDict, nn.Sequential, nn.Sequential]


class Tensors(nn.Module):
    """Tensors in all states: frozen, halves, other layouts, ties, views of one memory."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4).requires_grad_(False)
        self.c = nn.Linear(4, 4).half()
        self.conv = nn.Conv2d(4, 4, 3).to(memory_format=torch.channels_last)
        self.norm = nn.BatchNorm1d(4)
        self.whole = nn.Parameter(torch.tensor([1, 2, 3, 4]), requires_grad=False)
        self.brain = nn.Parameter(torch.ones(4, dtype=torch.bfloat16))
        base = torch.randn(10)
        self.register_buffer("first", base[:4])
        self.register_buffer("second", base[3:7])
        self.register_buffer("wide", base[:4].view(4, 1).expand(4, 4))
        self.register_buffer("turned", torch.randn(4, 4).t())
        self.tied = self.a.weight

    def forward(self, x: Tensor) -> Any:
        y = self.norm(self.b(self.a(x)) + self.first * self.second + self.wide[0] + self.turned[0])
        return y @ self.tied, self.c(x.half()), x * self.whole, x * self.brain


def test_tensors(emit: Emit) -> None:
    model = Tensors().train()
    model.norm.eval()
    emitted = emit(torch.jit.script(model), torch.randn(3, 4))
    # A trace cannot hold ties across modules.
    assert_right(emitted, fx=True, trace=False)


def test_shared_modules(emit: Emit) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = conv()
            self.b, self.act = self.a, nn.ReLU()
            self.chain = nn.Sequential(conv(), self.act)

        def forward(self, x: Tensor) -> Tensor:
            return self.chain(self.b(self.act(self.a(x))))

    assert_right(emit(Net().eval(), X))
    assert_right(emit(Net().eval(), X, "--clone-params", "share"))


@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
@pytest.mark.parametrize("wrap", [nn.utils.weight_norm, nn.utils.parametrizations.weight_norm])
def test_normed_weights(emit: Emit, wrap: Any, training: bool) -> None:
    assert_right(emit(nn.Sequential(wrap(conv()), nn.ReLU()).train(training), X))


def test_state_that_forward_writes(emit: Emit) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = conv()
            self.register_buffer("count", torch.zeros(1))

        def forward(self, x: Tensor) -> Tensor:
            self.count += 1
            return self.conv(x) + self.count

    emitted = emit(Net().eval(), X)
    made = emitted.build()
    before = made.count.item()
    assert difference(emitted.run(emitted.load_fixed()), emitted.run(made)) is None
    assert made.count.item() == before + 1


# Scripted code ------------------------------------------------------------------------------------


class Branches(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.steps = conv(), conv(), 3
        self.sizes: Dict[str, int] = {"a": 1, "b": 2}

    def forward(self, x: Tensor, flag: bool = True, scale: Optional[float] = None) -> Tensor:
        y = self.a(x) if flag else self.b(x) * 2
        if scale is not None:
            y = y * scale
        for i in range(1, self.steps):
            y = y + i
        for i in range(self.steps, 0, -1):
            y = y * i
        for _, size in self.sizes.items():
            y = y + size
        i = 0
        while i < 3 and bool(y.mean() < 100):
            y, i = y + math.sqrt(2.0), i + 1
        return y


class Lists(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([conv(), conv()])

    def forward(self, xs: List[Tensor]) -> List[Tensor]:
        results: List[Tensor] = []
        for layer in self.layers:
            results.append(layer(xs[0]))
        numbers = [i * 2 for i in range(3)]
        numbers[0] = 7
        numbers += [1]
        results.extend([x * len(numbers) for x in xs])
        results.append(torch.tensor(numbers).float().sum() + torch.tensor(float(len(xs))))
        assert len(xs) > 0, "no inputs"
        return results[1:]


class Arms(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = conv(), conv()

    def forward(self, x: Tensor, mode: str = "a") -> Tensor:
        if mode == "a":
            y = self.a(x).sigmoid()
        elif mode == "b":
            y = self.b(x)
        else:
            raise RuntimeError("no mode {}".format(mode))
        return y


class Early(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = conv()

    def forward(self, x: Tensor, n: int = 2) -> Tensor:
        y = self.a(x)
        for i in range(n):
            if i == 1:
                break
            y = y + 1
        if n > 5:
            return y
        return y * 2


@torch.jit.script
def scale_or_add(x: Tensor, n: int, y: Optional[Tensor] = None) -> Tensor:
    if n > 2:
        return x * n
    return x if y is None else x + y


class Helpers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = conv()

    @torch.jit.export
    def predict(self, x: Tensor) -> Tensor:
        return self.forward(x).sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        x = self.a(x)
        return scale_or_add(x, 3) + scale_or_add(x, 1, x)


class Numbers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = conv()

    def forward(self, x: Tensor, scale: float = 2.5) -> Tuple[Tensor, float, float]:
        count = x.size(1)
        return self.a(x) * round(scale), (count - 1) ** 2, math.sqrt(count)


class Search(nn.Module):
    """Values that some paths leave without one."""

    def __init__(self) -> None:
        super().__init__()
        self.a = conv()

    def forward(self, x: Tensor, limit: float) -> Tuple[Tensor, int, str]:
        y = self.a(x)
        for i in range(4):
            y = y * 2
            if float(y.abs().max()) > limit:
                return y, i, "found"
        return y, -1, "none"


SCRIPTED: Dict[str, Tuple[nn.Module, Tuple[Any, ...]]] = {
    "branches": (Branches(), (X, True, 2.0)),
    "other_branches": (Branches(), (X, False)),
    "lists": (Lists(), ([X, X + 1],)),
    "early": (Early(), (X, 2)),
    "arms": (Arms(), (X, "b")),
    "helpers": (Helpers(), (X,)),
    "numbers": (Numbers(), (X, 3.5)),
    "search": (Search(), (X, 3.0)),
}


@pytest.mark.parametrize("name", SCRIPTED)
def test_scripted_code(emit: Emit, name: str) -> None:
    model, inputs = SCRIPTED[name]
    assert_right(emit(torch.jit.script(copy.deepcopy(model).eval()), inputs), fx=False, trace=False)


def quantise(model: nn.Module, inputs: Tensor) -> nn.Module:
    wrapped = torch.ao.quantization.QuantWrapper(model.eval())
    wrapped.qconfig = torch.ao.quantization.get_default_qconfig("x86")
    prepared = torch.ao.quantization.prepare(wrapped)
    prepared(inputs)
    return torch.ao.quantization.convert(prepared)  # type: ignore[no-any-return]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("make", [torch.jit.trace, torch.jit.script])
def test_quantised_layers(emit: Emit, make: Callable[..., Any]) -> None:
    layers = [conv(), nn.ReLU(), nn.Conv2d(4, 4, 3, 2, groups=2), nn.Flatten(), nn.LazyLinear(3)]
    model = nn.Sequential(*layers)
    model(X)
    quantised = quantise(model, X)
    # Scripted, torch's own code looks at its arguments.
    is_trace = make is torch.jit.trace
    assert_right(
        emit(make(quantised, X) if is_trace else make(quantised), X), fx=is_trace, trace=is_trace
    )


def test_functions_that_nobody_calls_are_not_written(emit: Emit) -> None:
    emitted = emit(torch.jit.script(nn.Sequential(conv(), nn.Dropout(0.1)).eval()), X)
    assert "layers.Dropout" in emitted.text
    assert "def dropout(" not in emitted.text


def test_scripted_layers_of_torch(emit: Emit) -> None:
    layers = [conv(), nn.BatchNorm2d(4), nn.ReLU(True), nn.Dropout(0.5), nn.MaxPool2d(2)]
    layers += [nn.Conv2d(4, 4, 3, padding=1, groups=2, bias=False), nn.LeakyReLU(0.2)]
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)).eval()
    emitted = emit(torch.jit.script(model), X)
    made = emitted.build()
    expected = [describe(layer) for layer in model]
    assert [describe(layer) for layer in made.children()][: len(expected)] == expected
    assert_right(emitted)


def test_traced_call_of_scripted_code(emit: Emit) -> None:
    model = nn.Sequential(conv(), torch.jit.script(Early()), nn.ReLU())
    assert_right(emit(model.eval(), X), fx=False)


# build() ------------------------------------------------------------------------------------------


class KitNop(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x


def test_factories(emit: Emit, tmp_path: Path) -> None:
    bits = tmp_path / "bits.yaml"
    bits.write_text('"*": {feature: 8, weight: 8}\n"2": {weight: 4}\n')
    model = nn.Sequential(conv(), nn.ReLU(), conv(), nn.BatchNorm2d(4)).eval()
    emitted = emit(model, X, "--bits", str(bits))
    made = emitted.build(ops={"Conv2d": KitConv}, nop=KitNop)
    assert [m.bits for m in made.modules() if isinstance(m, KitConv)] == [(8, 8), (8, 4)]
    assert sum(isinstance(m, KitNop) for m in made.modules()) == 1
    assert made.fqat_groups == [("0", None, "1"), ("2", "3", None)]
    assert difference(emitted.run(emitted.build()), emitted.run(made)) is None
    assert set(made.state_dict()) == {*model.state_dict(), "0.range", "2.range"}


def test_copies(emit: Emit) -> None:
    emitted = emit(Detector().eval(), X)
    made, other = emitted.build(), emitted.build()
    expected = emitted.run(made)
    memory = [{t.data_ptr() for t in m.state_dict().values()} for m in (made, other)]
    assert not memory[0] & memory[1]
    assert difference(expected, emitted.run(copy.deepcopy(made))) is None
    assert difference(expected, emitted.run(pickle.loads(pickle.dumps(made)))) is None
    empty = emitted.build(weights=False)
    assert list(empty.state_dict()) == list(made.state_dict())
    empty.load_state_dict(made.state_dict())
    assert difference(expected, emitted.run(empty)) is None


def test_same_bytes(emit: Emit, tmp_path: Path) -> None:
    emitted = emit(Detector().eval(), X)
    run(emitted.source, "-q", "--emit", "python", "-o", tmp_path / "second")
    for path in emitted.package.iterdir():
        assert path.read_bytes() == (tmp_path / "second" / path.name).read_bytes(), path.name


@pytest.mark.parametrize("name", ['q"""q', "back\\slash\\", "ünï {x} %s"])
def test_names_of_files(emit: Emit, tmp_path: Path, name: str) -> None:
    source = tmp_path / (name + ".pt")
    shutil.copy(emit(nn.Sequential(conv()).eval(), X).source, source)
    run(source, "-q", "--emit", "python", "-o", tmp_path / "package")
    assert_well_written(tmp_path / "package")
    load_package(tmp_path / "package").build()


def test_fixed_ir_gives_the_same_package(emit: Emit, tmp_path: Path) -> None:
    emitted = emit(Detector().eval(), X)
    between = tmp_path / "model.mlirbc"
    run(emitted.source, "-q", "-o", between, "--pass-pipeline", "builtin.module()")
    run(between, "-q", "--emit", "python", "-o", tmp_path / "second")
    text = (tmp_path / "second" / "model.py").read_text(encoding="utf-8")
    assert text.splitlines()[1:] == emitted.text.splitlines()[1:]


# Failures -----------------------------------------------------------------------------------------


class Unfixable(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = conv()

    def forward(self, x: Tensor, n: int) -> Tensor:
        for _ in range(n):
            x = self.a(x)
        return x


class Pair(NamedTuple):
    a: Tensor
    b: int


class ReturnsPair(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = conv()

    def forward(self, x: Tensor) -> Pair:
        return Pair(self.a(x), 3)


@pytest.mark.parametrize("has_package", [False, True])
@pytest.mark.parametrize("model", [Unfixable, ReturnsPair])
def test_failure_writes_nothing(emit: Emit, tmp_path: Path, model: Any, has_package: bool) -> None:
    source, package = tmp_path / "bad.pt", tmp_path / "out"
    torch.jit.script(model()).save(str(source))
    if has_package:
        shutil.copytree(emit(nn.Sequential(conv()), X).package, package)
    before = {path.name: path.read_bytes() for path in package.glob("*")}
    text = run(source, "-q", "--emit", "python", "-o", package, expect=3)
    assert text.count("error:") == 1
    assert {path.name: path.read_bytes() for path in package.glob("*")} == before
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith("out")) == (
        ["out"] if has_package else []
    )


def test_only_packages_are_replaced(emit: Emit, tmp_path: Path) -> None:
    source = emit(nn.Sequential(conv()), X).source
    output = tmp_path / "out"
    output.mkdir()
    for _ in range(2):  # an empty folder, and a package that Python has run
        run(source, "-q", "--emit", "python", "-o", output)
        load_package(output).build()
    (output / "mine.txt").write_text("mine")
    text = run(source, "--emit", "python", "-o", output, expect=2)
    assert text.count("error:") == 1 and "mine.txt" in text
    assert (output / "mine.txt").read_text() == "mine"
    run(source, "--emit", "python", "-o", output / "mine.txt", expect=2)
    run(source, "--emit", "python", "-o", tmp_path / "none" / "out", expect=2)
    run(tmp_path / "none.pt", "--emit", "python", "-o", tmp_path / "new", expect=2)
    assert not (tmp_path / "new").exists() and not (tmp_path / "none").exists()


# torch 1.13 ---------------------------------------------------------------------------------------

WORKER = """
import importlib.util, sys, torch


def flatten(value):
    return [value] if isinstance(value, torch.Tensor) else [t for v in value for t in flatten(v)]


for number, folder in enumerate(sys.argv[1:]):
    name = "package_" + str(number)
    path = folder + "/package"
    spec = importlib.util.spec_from_file_location(
        name, path + "/__init__.py", submodule_search_locations=[path]
    )
    package = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(package)
    inputs = torch.load(folder + "/inputs.pt")
    results = []
    for model in (torch.jit.load(folder + "/model.fixed.pt"), package.build()):
        torch.manual_seed(0)
        with torch.no_grad():
            results.append(flatten(model(*[x.clone() for x in inputs])))
    for a, b in zip(*results):
        assert a.dtype == b.dtype and a.shape == b.shape, folder
        if a.is_complex():
            a, b = torch.view_as_real(a), torch.view_as_real(b)
        if a.numel():
            a, b = (t.contiguous().reshape(-1).view(torch.uint8) for t in (a, b))
            assert torch.equal(a, b), folder
    torch.jit.script(package.build())
print("all", len(sys.argv) - 1)
"""


def test_runs_in_torch_1_13(emit: Emit) -> None:
    probe = [SYSTEM_PYTHON, "-W", "ignore", "-c", "import torch; print(torch.__version__)"]
    if (
        not shutil.which(SYSTEM_PYTHON)
        or "1.13" not in subprocess.run(probe, capture_output=True, text=True).stdout
    ):
        pytest.skip("{} has no torch 1.13 (Debian's python3-torch)".format(SYSTEM_PYTHON))
    names = ("places", "writes", "activations", "sizes", "constants", "functions")
    models: List[nn.Module] = [Apply(FUNCTIONS[name]).eval() for name in names]
    layers = [layer for name in LAYERS if name[-1] not in "13" for layer in LAYERS[name]]
    models += [Each(copy.deepcopy(layers)).eval(), Detector().eval(), Containers().eval()]
    folders = []
    for model in models:
        emitted = emit(model, X)
        torch.save(emitted.inputs, emitted.folder / "inputs.pt")
        folders.append(str(emitted.folder))
    done = subprocess.run(
        [SYSTEM_PYTHON, "-W", "ignore", "-c", WORKER, *folders], capture_output=True, text=True
    )
    assert done.stdout.strip() == "all {}".format(len(models)), done.stderr[-2000:]


# Real models --------------------------------------------------------------------------------------

SHARED = sorted(
    path.stem for path in SHARED_MODELS.glob("*.pt") if not path.name.endswith(".inputs.pt")
)
# What torch.fx cannot follow.
WITH_CONTROL_FLOW = {"form_script_cf", "form_trace_of_script", "tv_mobilenet_v2_script"}
# What the models above have not.
FORMS = (
    "captured functional_weight lstmcell outnop_scripted_in_trace script_cf tied_alias trainmode"
)
needs_models = pytest.mark.skipif(not SHARED, reason="the shared models are not there")


class Row(NamedTuple):
    """What became of a model: "ok", or what is wrong."""

    emitted: str
    keys: str = "-"
    bits: str = "-"
    fx: str = "-"
    script: str = "-"


@pytest.fixture(scope="module")
def shared_packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a package and a fixed file of each shared model, written in two runs."""
    folder = tmp_path_factory.mktemp("shared")
    for kind in ("python", "torchscript"):
        (folder / kind).mkdir()
        command = [PROGRAM, *(str(SHARED_MODELS / (name + ".pt")) for name in SHARED)]
        command += ["-q", "--no-prove", "-j", "2", "--emit", kind, "-o", str(folder / kind)]
        subprocess.run(command, capture_output=True, timeout=600, check=False)
    return folder


def judge(folder: Path, name: str) -> Row:
    package = next(iter((folder / "python").glob(name + "*")), None)
    if package is None:
        return Row("refused")
    fixed = torch.jit.load(str(next((folder / "torchscript").glob(name + "*.pt"))))
    inputs = torch.load(SHARED_MODELS / (name + ".inputs.pt"), weights_only=False)

    def compute(model: Callable[..., Any]) -> Any:
        torch.manual_seed(0)
        with torch.no_grad():
            return model(*copy.deepcopy(tuple(inputs)))

    model = load_package(package).build()
    same_keys = list(model.state_dict()) == list(fixed.state_dict())
    expected = compute(fixed)
    answers = ["ok" if same_keys else "other keys"]
    for make in (lambda m: m, torch.fx.symbolic_trace, torch.jit.script):
        try:
            answers.append(
                difference(expected, compute(make(load_package(package).build()))) or "ok"
            )
        except Exception as error:
            is_control = make is torch.fx.symbolic_trace and name in WITH_CONTROL_FLOW
            answers.append("no" if is_control else type(error).__name__)
    return Row("ok", *answers)


@pytest.fixture(scope="module")
def get_row(shared_packages: Path) -> Callable[[str], Row]:
    return functools.lru_cache(maxsize=None)(functools.partial(judge, shared_packages))


def get_expected_row(name: str) -> Row:
    return Row("ok", "ok", "ok", "no" if name in WITH_CONTROL_FLOW else "ok", "ok")


@needs_models
@pytest.mark.parametrize("name", SHARED)
def test_shared_model(get_row: Callable[[str], Row], name: str) -> None:
    assert get_row(name) == get_expected_row(name)


@needs_models
def test_table(get_row: Callable[[str], Row], capsys: pytest.CaptureFixture[str]) -> None:
    """Prints what became of each shared model: `pytest -q -s -k table`."""
    width = max(map(len, SHARED))
    lines = ["{:{}}  {}".format("model", width, "  ".join(Row._fields))]
    for name in SHARED:
        cells = ["{:{}}".format(c, len(f)) for c, f in zip(get_row(name), Row._fields)]
        lines.append("{:{}}  {}".format(name, width, "  ".join(cells)).rstrip())
    print("\n" + "\n".join(lines))
    assert all(get_row(name) == get_expected_row(name) for name in SHARED)


@needs_models
@pytest.mark.parametrize("form", FORMS.split())
def test_shared_form(tmp_path: Path, form: str) -> None:
    name = "form_" + form
    inputs = torch.load(SHARED_MODELS / (name + ".inputs.pt"), weights_only=False)
    emitted = Emitted(SHARED_MODELS / (name + ".pt"), tmp_path, tuple(inputs))
    is_tied = name == "form_tied_alias"  # which a trace cannot hold
    assert_right(emitted, fx=name not in WITH_CONTROL_FLOW, trace=not is_tied)


@needs_models
@pytest.mark.parametrize("name", ["yolov8n_train", "tv_mobilenet_v2", "fasternet_t0_repo_slicing"])
def test_shared_model_trains(shared_packages: Path, name: str) -> None:
    package = next((shared_packages / "python").glob(name + "*"))
    fixed = torch.jit.load(str(next((shared_packages / "torchscript").glob(name + "*.pt"))))
    inputs = torch.load(SHARED_MODELS / (name + ".inputs.pt"), weights_only=False)
    model = load_package(package).build()
    assert_same_state(fixed, model)
    assert_same_gradients(fixed, model, tuple(inputs))
    assert_well_written(package)
