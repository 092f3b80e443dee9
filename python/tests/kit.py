"""A stand-in for a vendor's training kit, for tests and examples.

It does what such a kit does, as simply as it can: it watches the ranges of a model's layers, trains
with rounded weights and features, and refuses what it cannot follow. Its refusals are `KitError`:

- ``output == n``: an output is not marked by a `Nop` right after its layer, or a `Nop` marks
  something else.
- ``module can only call once``: it keeps one range for each module.
- ``calibration data is None!``: a layer runs rounded, but its range was never measured, as it is
  not in what an instance calls from a ``forward`` of its own.
- ``list() is not supported``: it follows lists that are displays or are appended to.

There are two ways in. ``ops``: the model is written with `Conv2D` and `Nop`, its own ``forward``
runs, and the caller says what is fused. ``fx``: the model is written with ``torch.nn`` and `Nop`,
and is traced with ``torch.fx``.
"""

import ast
import collections
import copy
import enum
import inspect
import textwrap
from typing import Any, Counter, Dict, Iterable, Iterator, List, Optional, Sequence, Set, Tuple

import torch
from torch import Tensor, fx, nn

FEATURE_BITS = (4, 8, 10, 12)
WEIGHT_BITS = (4, 8)
# What leaves the network keeps the most bits there are.
OUTPUT_BITS = 12
# How much of the newest range goes into the range of a layer that is trained.
MOMENTUM = 0.1
ACTIVATIONS = (nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.SiLU, nn.Hardswish, nn.GELU)

# Paths of a convolution, its batch norm and its activation.
Group = Tuple[str, Optional[str], Optional[str]]


class KitError(RuntimeError):
    """The kit refuses the model."""


class Stage(enum.Enum):
    """What the layers do beside computing."""

    FLOAT = "nothing"
    CALIBRATE = "measure their ranges"
    QUANTISE = "round weights and features"


# The layers -----------------------------------------------------------------------------------


def power_of_two_step(peak: Tensor, bits: int) -> Tensor:
    """Returns the smallest power of two of which `bits` signed bits reach `peak`."""
    return torch.exp2(torch.ceil(torch.log2(peak.clamp(min=2.0**-20))) - (bits - 1))


def round_to(x: Tensor, step: Tensor, bits: int) -> Tensor:
    """Rounds to signed multiples of `step`; the gradient passes as if it did not."""
    top = 2 ** (bits - 1)
    rounded = torch.clamp(torch.round(x / step), -top, top - 1) * step
    return rounded.detach() + (x - x.detach())


class Conv2D(nn.Conv2d):
    """A convolution with its batch norm and activation, as one layer of the chip.

    Weights and features are rounded to signed multiples of a power of two. The scale of the
    features follows from the largest magnitude that was measured, `calibration`.

    In evaluation the layer computes with constants (rounded weights, what the batch norm comes to,
    the scale). It makes them anew only after `set_run_fix_preprocess`, which calibration and every
    pass in training call.
    """

    def __init__(
        self, *args: Any, feature_bits: int = 8, weight_bits: int = 8, **kwargs: Any
    ) -> None:
        """Makes the layer.

        Args:
            *args: As those of ``nn.Conv2d``.
            feature_bits: Bits of an output element: 4, 8, 10 or 12.
            weight_bits: Bits of a weight: 4 or 8.
            **kwargs: As those of ``nn.Conv2d``.

        Raises:
            ValueError: The chip has no such width.
        """
        super().__init__(*args, **kwargs)
        if feature_bits not in FEATURE_BITS or weight_bits not in WEIGHT_BITS:
            raise ValueError(f"no layer has {feature_bits} feature and {weight_bits} weight bits")
        self.feature_bits, self.weight_bits = feature_bits, weight_bits
        self.bn: nn.Module = nn.Identity()
        self.act: nn.Module = nn.Identity()
        self.stage = Stage.FLOAT
        # False where the kit does not see the layer run, so that it measures nothing.
        self.measured = True
        self.calibration: Optional[Tensor]
        self.register_buffer("calibration", None)
        self.run_fix_preprocess = True
        # Weight, gain, shift and step. No buffers: who averages the state of a model misses them.
        self._constants: Tuple[Tensor, ...] = ()

    def set_run_fix_preprocess(self) -> None:
        """Lets the next evaluation make the layer's constants anew."""
        self.run_fix_preprocess = True

    def forward(self, x: Tensor) -> Tensor:
        """Runs the layer on (n, c, h, w).

        Raises:
            KitError: It is to be rounded, but was never calibrated.
        """
        if self.stage is Stage.QUANTISE:
            if self.calibration is None:
                raise KitError("calibration data is None!")
            return self._train(x) if self.training else self._evaluate(x)
        y = self.act(self.bn(super().forward(x)))
        if self.stage is Stage.CALIBRATE and self.measured:
            peak = y.detach().abs().max()
            seen = self.calibration
            self.calibration = peak if seen is None else torch.maximum(seen, peak)
            self.set_run_fix_preprocess()
        return y

    def _round_weight(self) -> Tensor:
        step = power_of_two_step(self.weight.detach().abs().max(), self.weight_bits)
        return round_to(self.weight, step, self.weight_bits)

    def _train(self, x: Tensor) -> Tensor:
        self.set_run_fix_preprocess()
        y = self.act(self.bn(self._conv_forward(x, self._round_weight(), self.bias)))
        assert self.calibration is not None
        self.calibration.lerp_(y.detach().abs().max(), MOMENTUM)
        step = power_of_two_step(self.calibration, self.feature_bits)
        return round_to(y, step, self.feature_bits)

    def _evaluate(self, x: Tensor) -> Tensor:
        if self.run_fix_preprocess:
            self._constants = self._make_constants()
            self.run_fix_preprocess = False
        weight, gain, shift, step = self._constants
        y = self.act(self._conv_forward(x, weight, None) * gain + shift)
        return round_to(y, step, self.feature_bits)

    @torch.no_grad()
    def _make_constants(self) -> Tuple[Tensor, ...]:
        assert self.calibration is not None
        zeros = self.weight.new_zeros(1, self.out_channels, 1, 1)
        bias = zeros if self.bias is None else self.bias.view_as(zeros)
        gain = self.bn(zeros + 1) - self.bn(zeros)
        step = power_of_two_step(self.calibration, self.feature_bits)
        return self._round_weight(), gain, self.bn(bias).clone(), step


class Nop(nn.Module):
    """Marks an output of the network; does nothing."""

    def forward(self, x: Tensor) -> Tensor:
        """Returns the argument."""
        return x


# Preparing a model ----------------------------------------------------------------------------


def _replace(model: nn.Module, path: str, module: nn.Module) -> None:
    owner, _, name = path.rpartition(".")
    setattr(model.get_submodule(owner), name, module)


def _convert(conv: nn.Conv2d) -> Conv2D:
    layer = Conv2D(
        conv.in_channels,
        conv.out_channels,
        conv.kernel_size,
        stride=conv.stride,
        padding=conv.padding,
        dilation=conv.dilation,
        groups=conv.groups,
        bias=conv.bias is not None,
        padding_mode=conv.padding_mode,
    )
    layer.load_state_dict(conv.state_dict())
    return layer.train(conv.training)


def convert(model: nn.Module) -> nn.Module:
    """Returns a copy of the model with a `Conv2D` of the same weights for each ``nn.Conv2d``."""
    model = copy.deepcopy(model)
    layers = {conv: _convert(conv) for conv in model.modules() if type(conv) is nn.Conv2d}
    for path, module in list(model.named_modules(remove_duplicate=False)):
        if module in layers:
            _replace(model, path, layers[module])
    return model


def fuse(model: nn.Module, groups: Iterable[Group]) -> None:
    """Moves batch norms and activations into their convolutions.

    An ``nn.Identity`` stays in their places. Groups of other layers than `Conv2D` stay as they are.
    """
    for path, bn, act in groups:
        layer = model.get_submodule(path)
        if isinstance(layer, Conv2D):
            for name, member in (("bn", bn), ("act", act)):
                if member is not None:
                    setattr(layer, name, model.get_submodule(member))
                    _replace(model, member, nn.Identity())


class _Tracer(fx.Tracer):
    """Follows the model down to the layers and the modules of torch."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Tells whether a module is one node of the graph."""
        return isinstance(m, (Conv2D, Nop)) or super().is_leaf_module(m, module_qualified_name)


def trace(model: nn.Module) -> Tuple[nn.Module, List[Group]]:
    """Traces a model with ``torch.fx``.

    Returns:
        The traced model, and its groups in the order in which they run.

    Raises:
        KitError: A module is called twice.
    """
    graph = _Tracer().trace(model)
    calls = [node for node in graph.nodes if node.op == "call_module"]
    modules = {node: model.get_submodule(str(node.target)) for node in calls}
    _refuse_repetition(collections.Counter(modules.values()))

    def only_user(node: fx.Node, *classes: type) -> Optional[fx.Node]:
        users = list(node.users)
        return users[0] if len(users) == 1 and isinstance(modules.get(users[0]), classes) else None

    groups: List[Group] = []
    for node, module in modules.items():
        if isinstance(module, Conv2D):
            bn = only_user(node, nn.BatchNorm2d)
            act = only_user(bn or node, *ACTIVATIONS)
            groups.append(
                (
                    str(node.target),
                    str(bn.target) if bn else None,
                    str(act.target) if act else None,
                )
            )
    return fx.GraphModule(model, graph), groups


# What is refused ------------------------------------------------------------------------------


def _refuse_lists(model: nn.Module) -> None:
    """Raises KitError if a module's ``forward`` calls ``list()``.

    The source tells: in ``ops`` nothing shows at run time, and of ``list((a, b))`` nothing does in
    ``fx`` either, which only refuses to iterate over a traced value.
    """
    functions = {
        getattr(module.forward, "__func__", module.forward)
        for module in model.modules()
        if not type(module).__module__.startswith("torch.")
    }
    for function in functions:
        for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(function)))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", None) == "list":
                raise KitError("list() is not supported")


def _refuse_repetition(calls: Counter[nn.Module]) -> None:
    """Raises KitError if a module that computes something was called more than once."""
    if any(count > 1 and not isinstance(module, Nop) for module, count in calls.items()):
        raise KitError("module can only call once")


def _tensors(value: object) -> Iterator[Tensor]:
    """Yields the tensors in nested results."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        yield from _tensors(tuple(value.values()))
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _tensors(item)


class _Watch:
    """Watches one pass through the model: what runs, in which order, and what is marked."""

    def __init__(self, model: nn.Module) -> None:
        self.calls: Counter[nn.Module] = collections.Counter()
        self.marked: Set[Conv2D] = set()
        # What autograd knows of the outputs of the layers.
        self.origins: Dict[Any, Conv2D] = {}
        # What the last module returned that is no nop.
        self.last: Optional[Tensor] = None
        self.handles = []
        for module in model.modules():
            if isinstance(module, Conv2D) or not any(True for _ in module.children()):
                self.handles.append(module.register_forward_hook(self._on_call))

    def stop(self) -> None:
        """Takes the hooks off the model."""
        for handle in self.handles:
            handle.remove()

    def check(self, results: object) -> None:
        """Raises KitError if what ran, and gave `results`, breaks a rule."""
        _refuse_repetition(self.calls)
        if self._sources(_tensors(results)) != self.marked:
            raise KitError("output == n")

    def _on_call(self, module: nn.Module, inputs: Tuple[Any, ...], output: Any) -> None:
        if isinstance(module, nn.Identity):
            return
        self.calls[module] += 1
        if isinstance(module, Nop):
            if inputs[0] is not self.last:
                raise KitError("output == n")
            self.marked |= self._sources(inputs)
            return
        self.last = output
        if isinstance(module, Conv2D):
            self.origins[output.grad_fn] = module

    def _sources(self, tensors: Iterable[Tensor]) -> Set[Conv2D]:
        """Returns the layers that tensors come from, with no other layer between."""
        pending: List[Any] = [tensor.grad_fn for tensor in tensors]
        seen: Set[Any] = {None}
        sources = set()
        while pending:
            node = pending.pop()
            if node in seen:
                continue
            seen.add(node)
            if node in self.origins:
                sources.add(self.origins[node])
            else:
                pending.extend(before for before, _ in node.next_functions)
        return sources


# The kit --------------------------------------------------------------------------------------


class Kit:
    """Calibrates a model, then trains and evaluates it rounded.

    Attributes:
        model: The copy of the model that is trained.
        layers: Its `Conv2D` by path.
    """

    def __init__(self, model: nn.Module, groups: Sequence[Group] = (), mode: str = "ops") -> None:
        """Takes a copy of a model.

        Args:
            model: In ``ops`` made of `Conv2D`, in ``fx`` of ``torch.nn``, and with a `Nop` right
                after each output. Takes one argument.
            groups: What is fused; ``fx`` finds that itself.
            mode: ``ops`` or ``fx``.

        Raises:
            KitError: The model calls ``list()``; in ``fx``, also a module twice.
        """
        _refuse_lists(model)
        model = convert(model) if mode == "fx" else copy.deepcopy(model)
        # A kit measures where it has wrapped the forward of a class. A forward that an instance
        # has of its own goes past that, and so does all that it calls.
        for module in model.modules():
            if "forward" in vars(module):
                for below in module.modules():
                    if isinstance(below, Conv2D):
                        below.measured = False
        if mode == "fx":
            model, groups = trace(model)
        fuse(model, groups)
        self.model = model
        self.layers = {
            path: module for path, module in model.named_modules() if isinstance(module, Conv2D)
        }

    def calibrate(self, batches: Iterable[Any]) -> None:
        """Measures the ranges of the layers, and checks how the model runs.

        Outputs are given `OUTPUT_BITS`. Runs in evaluation mode, and with gradients: autograd tells
        what a result comes from.

        Args:
            batches: Arguments of the model.

        Raises:
            KitError: A module is called twice, or the nops are not where they should be.
        """
        self._start(Stage.CALIBRATE, training=False)
        for batch in batches:
            watch = _Watch(self.model)
            try:
                with torch.enable_grad():
                    watch.check(self.model(batch))
            finally:
                watch.stop()
            for layer in watch.marked:
                layer.feature_bits = OUTPUT_BITS

    def train(self) -> None:
        """Rounds from now on, in training mode."""
        self._start(Stage.QUANTISE, training=True)

    def eval(self) -> None:
        """Rounds from now on, in evaluation mode."""
        self._start(Stage.QUANTISE, training=False)

    def _start(self, stage: Stage, training: bool) -> None:
        self.model.train(training)
        for layer in self.layers.values():
            layer.stage = stage
