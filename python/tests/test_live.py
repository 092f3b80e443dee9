"""fqat.live finds in a live model what tracing cannot see, and leaves the model as it was."""

import copy
import functools
import inspect
import random
from collections import namedtuple

import numpy as np
import pytest
import torch
from torch import nn

from fqat.live import inspect_model

HERE = __file__


def line_of(text, occurrence=0):
    """The line of this file that ends with a mark: ``# mark: text``."""
    lines = inspect.getsource(inspect.getmodule(line_of)).splitlines()
    found = [number for number, line in enumerate(lines, 1) if line.endswith("# mark: " + text)]
    return found[occurrence]


def found(model, inputs=None):
    return [
        (finding.rule, finding.severity, finding.kind, finding.instance)
        for finding in inspect_model(model, inputs)
    ]


class OutNop(nn.Module):
    def forward(self, x):
        return x


class Conv(nn.Module):
    default_act = nn.SiLU()  # mark: attribute

    def __init__(self, c=3):
        super().__init__()
        self.conv = nn.Conv2d(c, c, 1)
        self.act = self.default_act

    def forward(self, x):
        return self.act(self.conv(x))


class Net(nn.Module):
    def __init__(self, *layers):
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


X = torch.ones(1, 3, 2, 2)


def test_clean_model():
    model = Net(nn.Conv2d(3, 3, 1), nn.Sequential(nn.ReLU(), nn.BatchNorm2d(3)), OutNop())
    assert inspect_model(model) == inspect_model(model, X) == []


# R5 -------------------------------------------------------------------------------------------


class Chosen(nn.Module):
    def __init__(self, flip=False):
        super().__init__()
        if flip:
            self.forward = self.forward_flip  # mark: forward

    def forward(self, x):
        return x

    def forward_flip(self, x):
        return -x


def test_replaced_forward():
    (finding,) = inspect_model(Net(Chosen(), Chosen(True), Chosen(True)))
    assert (finding.rule, finding.severity, finding.kind) == ("R5", "error", "other-method")
    assert (finding.instance, finding.file) == ("layers.1", HERE)
    assert finding.line == line_of("forward") and "forward_flip" in finding.message
    assert [place.instance for place in finding.related] == ["layers.2"]


def test_replaced_forward_of_the_model_itself():
    model = nn.ReLU()
    model.forward = functools.partial(torch.relu)
    (finding,) = inspect_model(model, X)
    assert (finding.rule, finding.instance) == ("R5", "<root>")


# R4, shared objects ---------------------------------------------------------------------------


@pytest.mark.parametrize("inputs", [None, X])
def test_class_attribute(inputs):
    (finding,) = inspect_model(Net(Conv(), Conv(), Conv()), inputs)
    assert (finding.rule, finding.severity, finding.kind) == ("R4", "error", "shared-module")
    assert finding.instance == "layers.0.act"
    assert (finding.file, finding.line) == (HERE, line_of("attribute"))
    assert "the class attribute Conv.default_act" in finding.message
    assert ("is called 3 times" in finding.message) == (inputs is not None)
    assert [place.instance for place in finding.related] == ["layers.1.act", "layers.2.act"]


def test_class_attribute_that_is_held_once():
    assert inspect_model(Net(Conv()), X) == []


class Direct(nn.Module):
    act = nn.ReLU()

    def forward(self, x):
        return self.act(x)


@pytest.mark.parametrize("inputs", [None, X])
def test_class_attribute_that_is_called(inputs):
    (finding,) = inspect_model(Net(Direct(), Direct()), inputs)
    assert finding.kind == "shared-module" and "Direct.act" in finding.message
    assert [finding.instance, *(place.instance for place in finding.related)] == [
        "layers.0.act",
        "layers.1.act",
    ]


def test_several_names():
    shared = nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU())
    # What is inside of the shared module is no finding of its own.
    assert found(Net(shared, shared)) == [("R4", "error", "shared-module", "layers.0")]
    assert found(Net(shared, shared), X) == [("R4", "error", "shared-module", "layers.0")]


class TwoNames(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)
        self.body = nn.Sequential(self.conv, nn.ReLU())

    def forward(self, x):
        return self.body(x)


def test_several_names_but_one_call():
    assert found(TwoNames()) == [("R4", "error", "shared-module", "conv")]
    assert found(TwoNames(), X) == [("R4", "note", "shared-module", "conv")]


@pytest.mark.parametrize("nop", [OutNop(), torch.jit.script(OutNop())])
@pytest.mark.parametrize("inputs", [None, X])
def test_shared_nop(nop, inputs):
    assert found(Net(nop, nn.ReLU(), nop), inputs) == [("R4", "note", "shared-nop", "layers.0")]


# R4, calls ------------------------------------------------------------------------------------


class Twice(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner
        self.out_nop = nn.Identity()

    def forward(self, x):
        x = self.inner(x)  # mark: twice
        x = self.inner(x)  # mark: twice
        return self.out_nop(self.out_nop(x))


def test_repeated_calls():
    error, note = inspect_model(Twice(nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU())), X)
    assert (error.kind, error.severity, error.instance) == ("repeated-call", "error", "inner")
    assert error.message == "inner (Sequential) is called 2 times"
    places = [(error.file, error.line)] + [place[1:3] for place in error.related]
    assert places == [(HERE, line_of("twice", 0)), (HERE, line_of("twice", 1))]
    assert (note.kind, note.severity, note.instance) == ("shared-nop", "note", "out_nop")


def test_repeated_calls_below_one_another():
    # The inner Twice is called twice, and its layer twice by each of these calls.
    model = Twice(Twice(nn.ReLU()))
    model.out_nop = model.inner.out_nop = nn.Sequential()
    errors = [finding for finding in inspect_model(model, X) if finding.rule == "R4"]
    names = [(finding.instance, finding.message.split(" is ")[-1]) for finding in errors]
    assert ("inner", "called 2 times") in names and ("inner.inner", "called 4 times") in names


def test_calls_need_inputs():
    assert inspect_model(Twice(nn.ReLU())) == []


# R2 -------------------------------------------------------------------------------------------


def pair(x):
    return list((x, x))  # mark: function


class Listed(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(list((nn.ReLU(),)))

    @torch.no_grad()
    def forward(self, x):
        a, b = list(x.chunk(2, 2))  # mark: forward list
        return self.helper(a) + pair(b)

    def helper(self, x):
        self.text = """
less indented"""
        return [v for v in list((x,))]  # mark: helper

    def export(self, x):
        return list((x,))


@pytest.mark.parametrize("inputs", [None, X])
def test_lists(inputs):
    findings = (
        inspect_model(Net(Listed()), inputs) if inputs is None else inspect_model(Listed(), inputs)
    )
    assert {(finding.rule, finding.kind, finding.file) for finding in findings} == {
        ("R2", "list", HERE)
    }
    assert sorted(finding.line for finding in findings) == sorted(
        line_of(mark) for mark in ("function", "forward list", "helper")
    )


def test_lists_of_a_class_are_found_once():
    assert len(inspect_model(Net(Listed(), Listed()))) == 3


def test_lists_in_a_forward_that_the_instance_has():
    model = Chosen()
    model.forward = pair
    assert [finding.rule for finding in inspect_model(model)] == ["R5", "R2"]


def test_lists_of_torch_are_its_own_business():
    model = nn.MultiheadAttention(4, 2)
    assert inspect_model(model) == inspect_model(nn.LSTM(2, 2)) == []


# Hooks ----------------------------------------------------------------------------------------


def watch(module, inputs, output=None):  # mark: hook
    return None


def test_hooks():
    model = Net(nn.ReLU(), nn.Tanh())
    model.layers[0].register_forward_hook(watch)
    model.layers[1].register_forward_hook(watch)
    model.layers[1].register_forward_pre_hook(watch)
    hook, pre = inspect_model(model, X)
    assert (hook.severity, hook.kind, hook.instance) == ("note", "hook", "layers.0")
    assert (hook.file, hook.line) == (HERE, line_of("hook"))
    assert [place.instance for place in hook.related] == ["layers.1"]
    assert (pre.instance, "pre-hook" in pre.message) == ("layers.1", True)


# Sources --------------------------------------------------------------------------------------


def test_without_source():
    scope = {"nn": nn, "__name__": __name__}
    exec(
        "class Conv(nn.Module):\n    a = nn.ReLU()\n    def __init__(self):\n"
        "        super().__init__()\n        self.act = self.a\n        self.forward = self.run\n"
        "    def run(self, x):\n        return list(self.act(self.act(x)))[0]\n",
        scope,
    )
    findings = inspect_model(Net(scope["Conv"](), scope["Conv"]()), X)
    assert {finding.rule for finding in findings} == {"R4", "R5"}
    assert all(finding.file is finding.line is None for finding in findings)
    assert all(str(finding).startswith("layers.") for finding in findings)


# What a run leaves ----------------------------------------------------------------------------


class Stateful(nn.Module):
    def __init__(self, fail=False):
        super().__init__()
        self.bn = nn.BatchNorm2d(3)
        self.drop = nn.Dropout(0.5)
        self.register_buffer("steps", torch.zeros(()))
        self.register_buffer("nothing", None)
        self.fail = fail
        self.shape = None

    def forward(self, x):
        self.shape = x.shape
        self.last = x
        self.steps = self.steps + 1
        random.random(), np.random.rand()
        x = self.drop(self.bn(x.mul_(2)))
        if self.fail:
            raise KeyError("it failed")
        assert not torch.is_grad_enabled()
        return x + torch.rand_like(x)


def state(model):
    return (
        {key: value.clone() for key, value in model.state_dict().items()},
        [module.training for module in model.modules()],
        {name: id(buffer) for name, buffer in model.named_buffers()},
        {key: value for key, value in vars(model).items() if not key.startswith("_")},
        [len(module._forward_pre_hooks) for module in model.modules()],
        (torch.get_rng_state(), random.getstate(), np.random.get_state()),
    )


def assert_equal(a, b):
    assert type(a) is type(b)
    if isinstance(a, (torch.Tensor, np.ndarray)):
        assert (a == b).all()
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b)
        for x, y in zip(a, b):
            assert_equal(x, y)
    elif isinstance(a, dict):
        assert list(a) == list(b)
        assert_equal(list(a.values()), list(b.values()))
    else:
        assert a == b


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("fail", [False, True])
def test_state_is_kept(training, fail):
    model = Stateful(fail).train(training)
    model.drop.eval()
    inputs = torch.ones(2, 3, 2, 2)
    before = state(model)
    if fail:
        with pytest.raises(KeyError, match="it failed"):
            inspect_model(model, inputs)
    else:
        assert inspect_model(model, inputs) == []
    assert_equal(state(model), before)
    assert bool((inputs == 1).all())


def test_the_model_is_not_copied():
    model = Twice(nn.ReLU())
    held = copy.copy(vars(model.inner))
    inspect_model(model, X)
    assert vars(model.inner) == held


Pair = namedtuple("Pair", "a b")


@pytest.mark.parametrize("inputs", [(X, 2), [X, 2], {"x": X, "y": 2}, Pair(X, 2), {"y": 2, "x": X}])
def test_inputs(inputs):
    class Scale(nn.Module):
        def __init__(self):
            super().__init__()
            self.act = nn.ReLU()

        def forward(self, x, y):
            assert x.shape == X.shape and y == 2
            return self.act(self.act(x * y))

    assert found(Scale(), inputs) == [("R4", "error", "repeated-call", "act")]


def test_nested_inputs_are_not_changed():
    class Head(nn.Module):
        def forward(self, features):
            features[0].add_(1)
            features[1] = None

    features = [X.clone(), X.clone()]
    assert inspect_model(Head(), (features,)) == []
    assert torch.equal(features[0], X) and features[1] is not None


def test_scripted_modules():
    model = Net(torch.jit.script(nn.Sequential(nn.ReLU(), nn.ReLU())), nn.ReLU())
    assert inspect_model(model, X) == inspect_model(torch.jit.script(nn.ReLU()), X) == []
