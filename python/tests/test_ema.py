"""`run_fix_preprocess`: where it finds the averaged model, and what evaluation is without it."""

import copy
import warnings
from types import SimpleNamespace
from typing import List, Tuple

import kit
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel

from fqat.ema import run_fix_preprocess

pytestmark = pytest.mark.usefixtures("one_thread")


class Layer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def set_run_fix_preprocess(self) -> None:
        self.calls += 1


class Detection(nn.Module):
    """Has its layers in `model`, as YOLO's DetectionModel, and one beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.model = nn.Sequential(Layer(), nn.ReLU(), Layer())
        self.criterion = Layer()


NAMES = ["model.0", "model.2", "criterion"]


class ModelEmaV2(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.module = copy.deepcopy(model)


class ModelEma:
    """The moving average of a model that is trained, as YOLO trainers keep it."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.ema = copy.deepcopy(model).eval()
        self.decay = decay

    def update(self, model: nn.Module) -> None:
        trained = model.state_dict()
        for key, value in self.ema.state_dict().items():
            if value.is_floating_point():
                value.lerp_(trained[key], 1 - self.decay)


def test_calls_every_layer_once_and_in_order() -> None:
    model = Detection()
    assert run_fix_preprocess(model) == NAMES
    assert [module.calls for module in model.modules() if isinstance(module, Layer)] == [1, 1, 1]


def test_calls_the_model_itself() -> None:
    assert run_fix_preprocess(Layer()) == [""]


@pytest.mark.parametrize("wrapper", [AveragedModel, ModelEmaV2, nn.DataParallel])
def test_takes_modules_that_hold_the_model(wrapper: type) -> None:
    assert run_fix_preprocess(wrapper(Detection())) == ["module." + name for name in NAMES]


def test_takes_objects_that_hold_the_model() -> None:
    model = Detection()
    assert run_fix_preprocess(ModelEma(model, 0.9)) == NAMES
    assert run_fix_preprocess(SimpleNamespace(module=model)) == NAMES
    assert run_fix_preprocess(SimpleNamespace(model=model)) == NAMES
    trainer = SimpleNamespace(model=nn.ReLU(), ema=ModelEma(AveragedModel(model), 0.9))
    assert run_fix_preprocess(trainer) == ["module." + name for name in NAMES]


def test_passes_over_an_average_that_is_switched_off() -> None:
    assert run_fix_preprocess(SimpleNamespace(ema=None, model=Detection())) == NAMES


def test_follows_holders_in_a_circle() -> None:
    holder = SimpleNamespace(model=Detection())
    holder.ema = SimpleNamespace(module=holder)
    assert run_fix_preprocess(holder) == NAMES


@pytest.mark.parametrize("holder", [None, {}, SimpleNamespace(ema=None), SimpleNamespace(model=1)])
def test_says_that_there_is_no_model(holder: object) -> None:
    with pytest.raises(TypeError, match=r"\.ema, \.module, \.model; got " + type(holder).__name__):
        run_fix_preprocess(holder)


def test_warns_when_nothing_was_called() -> None:
    class Flagged(nn.Module):
        set_run_fix_preprocess = True

    model = nn.Sequential(nn.ReLU(), Flagged())
    with pytest.warns(UserWarning, match="no module of Sequential") as caught:
        assert run_fix_preprocess(model) == []
    assert caught[0].filename == __file__


def test_does_not_warn_otherwise() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run_fix_preprocess(Layer())


def test_lets_errors_of_a_layer_through() -> None:
    class Failing(nn.Module):
        def set_run_fix_preprocess(self) -> None:
            raise ValueError("no scale")

    with pytest.raises(ValueError, match="no scale"):
        run_fix_preprocess(nn.Sequential(Failing()))


# With the kit ---------------------------------------------------------------------------------


class Classifier(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = kit.Conv2D(1, 12, 3, bias=False)
        self.bn = nn.BatchNorm2d(12)
        self.act = nn.ReLU()
        self.logits = kit.Conv2D(12, 4, 1)
        self.out_nop = kit.Nop()

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.bn(self.conv(x)))
        return self.out_nop(self.logits(x)).mean((2, 3))


GROUPS = [("conv", "bn", "act"), ("logits", None, None)]


def make_stripes(count: int, generator: torch.Generator) -> Tuple[Tensor, Tensor]:
    """Draws (count, 1, 12, 12) noisy stripes, and which of four directions each has."""
    labels = torch.randint(4, (count,), generator=generator)
    y, x = torch.arange(12.0).view(1, 12, 1), torch.arange(12.0).view(1, 1, 12)
    angle = (labels * torch.pi / 4).view(-1, 1, 1)
    phase = 6 * torch.rand(count, 1, 1, generator=generator)
    stripes = torch.sin(2 * (x * angle.cos() + y * angle.sin()) + phase)
    noise = 0.3 * torch.randn(count, 12, 12, generator=generator)
    return (stripes + noise).unsqueeze(1), labels


def train_and_evaluate(refresh: bool) -> Tuple[List[float], List[float]]:
    """Trains a classifier, rounded.

    Args:
        refresh: Whether `run_fix_preprocess` is called before each evaluation of the average.

    Returns:
        The accuracies of the averaged copy, and of the model itself, on images that are not
        trained on: before training and after each 20 steps.
    """
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    trainer = kit.Kit(Classifier(), GROUPS)
    trainer.calibrate([make_stripes(64, generator)[0]])
    trainer.eval()
    average = ModelEma(trainer.model, decay=0.9)
    optimiser = torch.optim.Adam(trainer.model.parameters(), lr=0.02)
    images, labels = make_stripes(256, generator)

    def accuracy(model: nn.Module) -> float:
        with torch.no_grad():
            return (model(images).argmax(1) == labels).float().mean().item()

    averaged, trained = [], []
    for epoch in range(4):
        if epoch > 0:
            trainer.train()
            for _ in range(20):
                batch, wanted = make_stripes(32, generator)
                loss = functional.cross_entropy(trainer.model(batch), wanted)
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                average.update(trainer.model)
            trainer.eval()
        if refresh:
            assert run_fix_preprocess(average) == ["conv", "logits"]
        averaged.append(accuracy(average.ema))
        trained.append(accuracy(trainer.model))
    return averaged, trained


def test_accuracy_of_the_average_stands_still_without_it() -> None:
    averaged, trained = train_and_evaluate(refresh=False)
    assert averaged == [averaged[0]] * 4
    assert averaged[0] < 0.5 and trained[-1] > 0.9


def test_accuracy_of_the_average_follows_training_with_it() -> None:
    averaged, trained = train_and_evaluate(refresh=True)
    assert averaged[0] < 0.5 and averaged[-1] > 0.9 and trained[-1] > 0.9
