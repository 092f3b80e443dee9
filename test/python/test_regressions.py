"""Models that once broke the tool, each named after what it shows."""

import pytest
import rules
import torch
from conftest import assert_equivalent, records
from torch import nn

X = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def conv(c_in, c_out):
    return nn.Conv2d(c_in, c_out, 3, padding=1)


class NameWithSpace(nn.Module):
    # A fresh name for the clone was looked for without end.
    def __init__(self):
        super().__init__()
        self.add_module("c d", conv(3, 3))

    def forward(self, x):
        module = self._modules["c d"]
        return module(module(x))


class MulNop(nn.Module):
    def forward(self, x):
        return x * 1


class CloneNop(nn.Module):
    def forward(self, x):
        return x.clone()


class NopsThatTracingKeeps(nn.Module):
    # A second nop was put before the model's own.
    def __init__(self):
        super().__init__()
        self.a, self.b = conv(3, 4), conv(3, 4)
        self.out_nop, self.out_nop1 = MulNop(), CloneNop()

    def forward(self, x):
        a, b = self.a(x), self.b(x)
        return torch.cat((self.out_nop(a), self.out_nop1(b)), 1)


class NopThatAConvReads(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b, self.out_nop = conv(3, 4), conv(4, 4), MulNop()

    def forward(self, x):
        y = self.out_nop(self.a(x))
        return y, self.b(y)


class NopSharedByTwoValues(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b, self.out_nop = conv(3, 4), conv(3, 4), MulNop()

    def forward(self, x):
        return self.out_nop(self.a(x)), self.out_nop(self.b(x))


class PartsOfASplit(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = conv(3, 8), conv(4, 4)

    def forward(self, x):
        u, v = self.a(x).chunk(2, 1)
        return u, self.b(v)


class TailPassedToAHead(nn.Module):
    class Head(nn.Module):
        def __init__(self):
            super().__init__()
            self.b = conv(3, 4)

        def forward(self, t, x):
            return t * self.b(x).sigmoid()

    def __init__(self):
        super().__init__()
        self.a, self.head = conv(3, 4), self.Head()

    def forward(self, x):
        return self.head(self.a(x).sigmoid(), x)


class WriterWithoutResult(nn.Module):
    class Writer(nn.Module):
        def forward(self, x):
            x[:, :2].relu_()
            return x

    def __init__(self):
        super().__init__()
        self.a, self.b, self.writer = conv(3, 4), conv(4, 4), self.Writer()

    def forward(self, x):
        y = self.a(x)
        self.writer(y)
        return self.b(y), y


class SharedAtTwoLevels(nn.Module):
    # Copies that a later round replaced were left behind, and swapped names.
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.act = conv(3, 3), nn.SiLU()

        def forward(self, x):
            return self.act(self.conv(self.act(x)))

    def __init__(self):
        super().__init__()
        self.block = self.Block()

    def forward(self, x):
        return self.block(self.block(x))


class LevelHeads(nn.Module):
    # Reading the stacks of calls crashed where calls nest.
    class Head(nn.Module):
        def __init__(self):
            super().__init__()
            self.cls, self.box = nn.Sequential(conv(3, 3), nn.SiLU(), conv(3, 6)), conv(3, 4)

        def forward(self, x):
            out = torch.cat((self.box(x).sigmoid(), self.cls(x)), 1)
            n, c, h, w = out.shape
            return out.view(n, c, h * w).permute(0, 2, 1)

    def __init__(self):
        super().__init__()
        self.heads = nn.ModuleList(self.Head() for _ in range(3))

    def forward(self, x):
        return torch.cat([head(x) for head in self.heads], 1)


@pytest.mark.parametrize(
    "model",
    [
        NameWithSpace,
        NopsThatTracingKeeps,
        NopThatAConvReads,
        PartsOfASplit,
        TailPassedToAHead,
        WriterWithoutResult,
        SharedAtTwoLevels,
        LevelHeads,
    ],
)
def test_fixed(tool, model):
    torch.manual_seed(0)
    original = tool.trace(model().eval(), X)
    tool.run("--check", original, expect=1)
    fixed = tool.fix(original)
    assert_equivalent(original, fixed, (X,))
    tool.run("--check", fixed)
    assert records(tool.fix(fixed)) == records(fixed)


def test_own_nops_are_reused_not_doubled(tool):
    fixed = tool.fix(tool.trace(NopsThatTracingKeeps().eval(), X))
    names = [name for name, _ in torch.jit.load(str(fixed)).named_modules()]
    assert names == ["", "a", "b", "out_nop", "out_nop1"]


def test_nop_shared_by_two_values_is_split(tool):
    # The kit takes a shared nop, so that the check finds nothing; a fix gives each its own.
    original = tool.trace(NopSharedByTwoValues().eval(), X)
    tool.run("--check", original)
    fixed = tool.fix(original)
    assert_equivalent(original, fixed, (X,))
    names = [name for name, _ in torch.jit.load(str(fixed)).named_modules()]
    assert names == ["", "a", "b", "out_nop", "out_nop1"]
    assert records(tool.fix(fixed)) == records(fixed)


class Overwritten(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b, self.act = conv(3, 4), conv(4, 4), nn.ReLU(inplace=True)

    def forward(self, x):
        y = self.a(x)
        tail = y.sigmoid()
        return tail, self.b(self.act(y))


def test_overwriting_activation_becomes_out_of_place(tool):
    original = tool.trace(Overwritten().eval(), X)
    fixed = tool.fix(original)
    assert_equivalent(original, fixed, (X,))
    tool.run("--check", fixed)
    assert "aten::relu(" in str(torch.jit.load(str(fixed)).inlined_graph)


class OverwrittenByView(Overwritten):
    def forward(self, x):
        y = self.a(x)
        view = y[:, :2]
        tail = y.sigmoid()
        view.relu_()
        return tail, self.b(y)


def test_overwritten_tail_input_names_both_lines(tool, tmp_path):
    path = tool.trace(OverwrittenByView().eval(), X)
    output = tmp_path / "out.pt"
    result = tool.run(path, "-o", output, expect=3)
    assert "error: this writes memory that the tail reads" in result.stderr
    assert "note: the op of the tail is here" in result.stderr
    assert result.stderr.count(__file__) == 2
    assert not output.exists()


def fix_and_check(tool, original, inputs=(X,)):
    """Fixes a file, and asserts that the rules hold, the bits are equal, and no more changes."""
    fixed = tool.fix(original)
    assert not rules.check(fixed)
    assert_equivalent(original, fixed, inputs)
    tool.run("--check", fixed)
    assert records(tool.fix(fixed)) == records(fixed)
    return fixed


def script(tool, model):
    path = tool.folder / "scripted.pt"
    torch.jit.script(model.eval()).save(str(path))
    return path


class Residual(nn.Module):
    def __init__(self, body):
        super().__init__()
        self.body = body

    def forward(self, x):
        return x + self.body(x)


class ValueForBothRegions(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = conv(3, 4), Residual(conv(4, 4))

    def forward(self, x):
        y = self.a(x)
        return self.b(y), y


def test_argument_that_is_added_has_a_name(tool):
    fix_and_check(tool, tool.trace(ValueForBothRegions().eval(), X))


class SharedByThree(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.m = conv(3, 4), conv(4, 4)
        self.b = Residual(self.m)
        self.c = nn.Sequential(self.b, nn.ReLU())

    def forward(self, x):
        y = self.m(self.b(self.m(self.a(x))))
        return self.m(y), self.c(y)


def test_twin_below_a_twin_has_one_owner(tool):
    fix_and_check(tool, tool.trace(SharedByThree().eval(), X))


class TwiceInside(nn.Module):
    def __init__(self):
        super().__init__()
        self.m = conv(3, 3)

    def forward(self, x):
        return self.m(self.m(x).relu())


def test_weights_of_copies_come_behind_those_of_the_input(tool):
    """Nearly all that was written ahead was cut off again: a copy's weights stood in between."""
    path = tool.trace(nn.Sequential(TwiceInside(), conv(3, 4)).eval(), X)
    original, fixed = records(path), records(fix_and_check(tool, path))
    weights = [name for name in original if name.startswith("data/")]
    assert [original[name] for name in weights] == [fixed[name] for name in weights]
    assert len([name for name in fixed if name.startswith("data/")]) > len(weights)


class ActivationTwice(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.act = conv(4, 4), nn.GELU()

    def forward(self, x):
        return self.act(self.a(self.act(x)))


class ModuleInBothArms(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.m = conv(3, 4), ActivationTwice()

    def forward(self, x, flag: bool = True):
        x = self.a(x)
        if flag:  # noqa: SIM108
            y = self.m(x)
        else:
            y = self.m(x) * 2
        return y


def test_call_that_runs_in_two_arms_is_cloned_once(tool):
    fix_and_check(tool, script(tool, ModuleInBothArms()))


class UnreadHead(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b, self.head = conv(3, 4), conv(4, 2), Head()

    def forward(self, x):
        x = self.a(x)
        unread = self.head(x)  # noqa: F841
        return self.b(x)


class Head(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = conv(4, 2)

    def forward(self, x):
        y = self.a(x).sigmoid() * 2
        y[:, :1] = y[:, :1] * 0.5
        return y


def test_tail_that_nobody_reads_leaves_no_nop(tool):
    fix_and_check(tool, script(tool, UnreadHead()))


class SharedWeightNorm(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = conv(3, 4)
        self.m = nn.utils.weight_norm(nn.Conv2d(4, 4, 1))
        self.n = nn.Sequential(self.m, nn.ReLU())

    def forward(self, x):
        x = self.a(x)
        self.m(x)
        return (self.n(x),)


def test_hook_of_a_shared_child_reads_the_childs_own_slots(tool):
    fix_and_check(tool, tool.trace(SharedWeightNorm().eval(), X))


class DeadNop(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.out_nop = conv(3, 4), TimesOneNop()

    def forward(self, x):
        first, second = self.a(x).chunk(2, 1)
        self.out_nop(torch.cat([first, first], 1))
        return second


class TimesOneNop(nn.Module):
    def forward(self, x):
        return x * 1


def test_call_whose_result_nobody_reads_is_a_husk(tool):
    fix_and_check(tool, tool.trace(DeadNop().eval(), X))


class RootWithHelper(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = conv(3, 4), conv(4, 4)

    def features(self, x) -> tuple[torch.Tensor, int]:
        return self.a(x), 1

    def forward(self, x):
        y, n = self.features(x)
        z = self.b(y)
        return y.sigmoid(), z * n


def test_root_calls_a_method_of_its_own(tool):
    model = torch.jit.script(RootWithHelper().eval())
    path = tool.folder / "helper.pt"
    model.save(str(path))
    fixed = torch.jit.load(str(fix_and_check(tool, path)))
    assert torch.equal(fixed.features(X)[0], model.features(X)[0])


class CountsItsBlocks(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList([conv(3, 4), conv(4, 4)])

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return x / len(self.blocks), x * len(self.blocks)


def test_len_of_a_module_list_runs_no_module(tool):
    fix_and_check(tool, script(tool, CountsItsBlocks()))


class JoinReadTwice(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = conv(3, 4), conv(4, 4), conv(4, 2)

    def forward(self, x, flag: bool = True):
        y = z = self.a(x)
        if flag:
            z = self.b(y)
        v = z.relu()
        w = self.c(z)
        return z, v, w


def test_results_of_an_if_stand_in_the_order_of_their_readers(tool):
    fix_and_check(tool, script(tool, JoinReadTwice()))


class Pyramid(nn.Module):
    """Feature maps taken by name, added from the deepest up, and put under their names again."""

    def __init__(self):
        super().__init__()
        self.stages = nn.ModuleDict({"s1": conv(3, 4), "s2": conv(4, 4), "s3": conv(4, 4)})
        self.taken: dict[str, str] = {"s1": "0", "s3": "1"}
        self.lateral = nn.ModuleList([conv(4, 4), conv(4, 4)])
        self.head = conv(4, 2)

    def lift(self, x, index: int):
        out = x
        for i, module in enumerate(self.lateral):
            if i == index:
                out = module(x)
        return out

    def forward(self, x):
        found: dict[str, torch.Tensor] = {}
        for name, stage in self.stages.items():
            x = stage(x)
            if name in self.taken:
                found[self.taken[name]] = x
        names = list(found.keys())
        maps = list(found.values())
        last = self.lift(maps[-1], len(maps) - 1)
        results = [last]
        for i in range(len(maps) - 2, -1, -1):
            last = last + self.lift(maps[i], i)
            results.insert(0, last)
        by_name = dict(list(zip(names, results)))  # noqa: B905, C400
        heads: list[torch.Tensor] = []
        for value in by_name.values():
            heads.append(self.head(value))
        return heads


def test_loop_over_a_dict_that_known_names_fill(tool):
    fix_and_check(tool, script(tool, Pyramid()))


class TwoHeadsThatCheckShapes(nn.Module):
    def __init__(self, checks_values=False):
        super().__init__()
        self.a = conv(3, 4)
        self.main = nn.Sequential(conv(4, 2), nn.BatchNorm2d(2))
        self.aux = nn.Sequential(conv(4, 2), nn.BatchNorm2d(2))
        self.checks_values = checks_values

    def forward(self, x):
        size = x.shape[-2:]
        x = self.a(x)
        main = nn.functional.interpolate(self.main(x), size=size, mode="bilinear")
        if self.checks_values and main.min().item() > 100:
            raise ValueError("too bright")
        return main, nn.functional.interpolate(self.aux(x), size=size, mode="bilinear")


def test_shape_checks_of_a_tail_may_run_later(tool):
    fix_and_check(tool, script(tool, TwoHeadsThatCheckShapes()))


def test_checks_of_values_keep_their_place(tool):
    result = tool.run(
        script(tool, TwoHeadsThatCheckShapes(True)), "-o", tool.folder / "x.pt", expect=3
    )
    assert "has an effect that is seen from outside" in result.stderr


class Shallow(nn.Module):
    def __init__(self):
        super().__init__()
        self.depth = 1
        self.a, self.b, self.act = conv(3, 4), conv(4, 4), nn.ReLU()

    def forward(self, x):
        x = self.a(x)
        if self.depth > 1:
            x = self.act(self.b(self.act(x)))
        return x


def test_arm_that_does_not_run_calls_each_module_once(tool):
    fixed = torch.jit.load(str(fix_and_check(tool, script(tool, Shallow()))))
    assert {name for name, _ in fixed.named_children()} == {"a", "b", "act", "act1", "out_nop"}


class CalledByTwoMethods(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.head = conv(3, 4), ConvWithTail()

    @torch.jit.export
    def score(self, x):
        return self.head(self.a(x)).sum()

    def forward(self, x):
        x = self.a(x)
        return self.head(x), x


class ConvWithTail(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = conv(4, 4)

    def forward(self, x):
        return self.a(x).sigmoid() * 2


def test_other_method_of_the_root_keeps_what_it_calls(tool):
    path = script(tool, CalledByTwoMethods())
    fixed = torch.jit.load(str(fix_and_check(tool, path)))
    assert torch.equal(fixed.score(X), torch.jit.load(str(path)).score(X))


class Lstm(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)
        self.rnn = nn.LSTM(4, 5, batch_first=True, bidirectional=True)
        self.head = nn.Linear(10, 3)

    def forward(self, x):
        states, _ = self.rnn(self.conv(x).flatten(2).transpose(1, 2))
        return self.head(states).sigmoid()


def test_own_methods_beside_a_tail_are_inlined(tool):
    """The unused hidden state was moved out of the LSTM, with a call of the LSTM's own method."""
    fix_and_check(tool, script(tool, Lstm()))
