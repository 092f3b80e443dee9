"""The stand-in kit: each of its refusals, and that it rounds what it takes."""

import copy
from typing import Callable, Dict, List

import kit
import pytest
import torch
from torch import Tensor, nn

MODES = ("ops", "fx")


class Base(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(4)
        self.act = nn.ReLU()
        self.box = nn.Conv2d(4, 4, 1)
        self.cls = nn.Conv2d(4, 2, 1)
        self.out_nop, self.out_nop1 = kit.Nop(), kit.Nop()

    def stem(self, x: Tensor) -> Tensor:
        return self.act(self.bn(self.conv(x)))


GROUPS = [("conv", "bn", "act"), ("box", None, None), ("cls", None, None)]


class Right(Base):
    def forward(self, x: Tensor) -> List[Tensor]:
        x = self.stem(x)
        box = self.out_nop(self.box(x))
        cls = self.out_nop1(self.cls(x))
        return [torch.cat((box, cls), 1), cls.sigmoid()]


class OneNop(Base):
    def forward(self, x: Tensor) -> Dict[str, Tensor]:
        x = self.stem(x)
        return {"box": self.out_nop(self.box(x)), "cls": self.out_nop(self.cls(x))}


class NopsTogether(Base):
    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        box, cls = self.box(x), self.cls(x)
        return torch.cat((self.out_nop(box), self.out_nop1(cls)), 1)


class NopAfterCat(Base):
    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return self.out_nop(torch.cat((self.box(x), self.cls(x)), 1))


class NopMissing(Base):
    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return torch.cat((self.box(x), self.out_nop(self.cls(x))), 1)


class NopInside(Base):
    def forward(self, x: Tensor) -> Tensor:
        return self.out_nop1(self.box(self.out_nop(self.stem(x))))


class ActTwice(Base):
    def forward(self, x: Tensor) -> Tensor:
        return self.out_nop(self.cls(self.act(self.box(self.stem(x)))))


class ConvTwice(Base):
    def forward(self, x: Tensor) -> Tensor:
        return self.out_nop(self.box(self.box(self.stem(x))))


class ListOfTuple(Base):
    def forward(self, x: Tensor) -> List[Tensor]:
        x = self.stem(x)
        return list((self.out_nop(self.box(x)), self.out_nop1(self.cls(x))))


class OwnForward(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)
        self.forward = self.forward_conv

    def forward_conv(self, x: Tensor) -> Tensor:
        return self.conv(x)


def make(model: nn.Module, mode: str) -> kit.Kit:
    """Makes a kit; for ``ops`` the model is first written with the kit's layers."""
    torch.manual_seed(0)
    return kit.Kit(kit.convert(model) if mode == "ops" else model, mode=mode)


def images() -> Tensor:
    return torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("model", "message"),
    [
        (NopsTogether, "output == n"),
        (NopAfterCat, "output == n"),
        (NopMissing, "output == n"),
        (NopInside, "output == n"),
        (ActTwice, "module can only call once"),
        (ConvTwice, "module can only call once"),
        (ListOfTuple, "list() is not supported"),
    ],
)
def test_refuses(model: Callable[[], nn.Module], message: str, mode: str) -> None:
    with pytest.raises(kit.KitError) as raised:
        make(model(), mode).calibrate([images()])
    assert str(raised.value) == message


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("training", [True, False])
def test_refuses_to_run_without_calibration(training: bool, mode: str) -> None:
    trial = make(Right(), mode)
    (trial.train if training else trial.eval)()
    with pytest.raises(kit.KitError, match="^calibration data is None!$"):
        trial.model(images())


@pytest.mark.parametrize("mode", MODES)
def test_does_not_see_what_a_forward_of_an_instance_calls(mode: str) -> None:
    trial = make(nn.Sequential(OwnForward(), nn.Conv2d(3, 2, 1), kit.Nop()), mode)
    trial.calibrate([images()])
    trial.train()
    with pytest.raises(kit.KitError, match="^calibration data is None!$"):
        trial.model(images())


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("model", [Right, OneNop])
def test_takes_a_right_model_and_gives_outputs_the_most_bits(
    model: Callable[[], nn.Module], mode: str
) -> None:
    trial = make(model(), mode)
    trial.calibrate([images(), images()])
    assert {path: layer.feature_bits for path, layer in trial.layers.items()} == {
        "conv": 8,
        "box": 12,
        "cls": 12,
    }
    trial.train()
    trial.model(images())


def test_leaves_no_hook_on_a_model() -> None:
    trial = make(NopsTogether(), "ops")
    with pytest.raises(kit.KitError):
        trial.calibrate([images()])
    assert not any(module._forward_hooks for module in trial.model.modules())


def test_fuses_the_same_in_both_modes() -> None:
    model = Right().eval()
    with torch.no_grad():
        expected = model(images())
        outputs = []
        for trial in (kit.Kit(kit.convert(model), GROUPS), kit.Kit(model, mode="fx")):
            layer = trial.layers["conv"]
            assert isinstance(layer.bn, nn.BatchNorm2d) and isinstance(layer.act, nn.ReLU)
            assert isinstance(trial.model.get_submodule("bn"), nn.Identity)
            assert all(map(torch.equal, trial.model(images()), expected))
            trial.calibrate([images()])
            trial.eval()
            outputs.append(trial.model(images()))
    assert all(map(torch.equal, *outputs))
    assert isinstance(model.bn, nn.BatchNorm2d), "the kit works on a copy"


def test_trains_and_evaluates_alike() -> None:
    trial = make(Right(), "fx")
    with torch.no_grad():
        for bn in trial.model.modules():
            if isinstance(bn, nn.BatchNorm2d):
                bn.get_buffer("running_mean").normal_()
                bn.get_buffer("running_var").uniform_(0.5, 2)
    trial.calibrate([images()])
    trial.eval()
    evaluated = trial.model(images())[1]
    for layer in trial.layers.values():
        layer.training = True
    trained = trial.model(images())[1]
    torch.testing.assert_close(evaluated, trained, rtol=0, atol=0.02)


@pytest.mark.parametrize("bits", kit.FEATURE_BITS)
def test_rounds_to_what_the_bits_can_say(bits: int) -> None:
    x = torch.linspace(-3, 3, 101, requires_grad=True)
    step = kit.power_of_two_step(x.detach().abs().max(), bits)
    rounded = kit.round_to(x, step, bits)
    assert step == 4 / 2 ** (bits - 1)
    assert torch.equal(rounded / step, torch.round(rounded / step))
    assert (rounded - x).abs().max() <= step / 2
    rounded.sum().backward()
    assert x.grad is not None and torch.equal(x.grad, torch.ones_like(x))


def test_layer_has_the_keys_of_the_torch_layer() -> None:
    layer = kit.Conv2D(3, 4, kernel_size=(3, 3), bias=True, feature_bits=10, weight_bits=4)
    torch_layer = nn.Conv2d(3, 4, 3)
    layer.load_state_dict(torch_layer.state_dict())
    assert list(layer.state_dict()) == list(torch_layer.state_dict())
    assert torch.equal(layer(images()), torch_layer(images()))
    assert copy.deepcopy(layer).feature_bits == 10


@pytest.mark.parametrize("bits", [{"feature_bits": 9}, {"weight_bits": 10}])
def test_refuses_widths_that_the_chip_has_not(bits: Dict[str, int]) -> None:
    with pytest.raises(ValueError, match="no layer has"):
        kit.Conv2D(3, 4, 1, **bits)
