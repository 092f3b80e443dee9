"""fqat.lint finds what breaks the rules in Python source, and mends it; the meaning stays."""

import ast
import difflib
import json
import os
import stat
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from fqat.lint import SourceError, fix_source, lint_source
from fqat.live import inspect_model

SNIPPETS = Path(__file__).parent / "snippets"
NAMES = sorted(path.name[: -len("_before.py")] for path in SNIPPETS.glob("*_before.py"))
HEAD = "import torch\nfrom torch import nn\n\n\n"


def read(name):
    return (SNIPPETS / (name + ".py")).read_text()


def rules(source):
    return [finding.rule for finding in lint_source(source, "x.py")]


def fix(source, left=()):
    """Fix a snippet; the rules that are left are those expected, and a second fix does nothing."""
    source = textwrap.dedent(source)
    fixed, findings = fix_source(source, "x.py")
    assert [finding.rule for finding in findings] == list(left), [str(f) for f in findings]
    assert fix_source(fixed, "x.py") == (fixed, findings)
    ast.parse(fixed)
    return fixed


def unfixable(source, rule, kind):
    """Expect one finding without a fix."""
    source = textwrap.dedent(source)
    fixed, findings = fix_source(source, "x.py")
    assert fixed == source
    assert [(finding.rule, finding.kind) for finding in findings] == [(rule, kind)]
    return findings[0]


def changed(before, after):
    """The lines that a fix took out and put in, without their indentation."""
    lines = difflib.ndiff(textwrap.dedent(before).splitlines(), after.splitlines())
    return [line[0] + line[2:].strip() for line in lines if line[0] in "+-"]


def build(source, make="make"):
    """Run a snippet; its model and its inputs, always from the same random numbers."""
    scope = {"__name__": "snippet"}
    exec(compile(source, "<snippet>", "exec"), scope)
    torch.manual_seed(0)
    return scope[make]()


def flatten(value):
    if isinstance(value, torch.Tensor):
        return [value]
    return [tensor for item in value for tensor in flatten(item)]


def assert_same(before, after, make="make"):
    """Both compute the same bits, in both modes, and what was in the state dict stays."""
    model, inputs = build(before, make)
    fixed, fixed_inputs = build(after, make)
    old, new = model.state_dict(), fixed.state_dict()
    assert set(old) <= set(new)
    assert all(torch.equal(value, new[key]) for key, value in old.items())
    for training in (False, True):
        model.train(training), fixed.train(training)
        torch.manual_seed(1)
        expected = flatten(model(*(value.clone() for value in inputs)))
        torch.manual_seed(1)
        got = flatten(fixed(*(value.clone() for value in fixed_inputs)))
        assert len(expected) == len(got) > 0
        assert all(torch.equal(a, b) for a, b in zip(expected, got))
    return fixed, fixed_inputs


# Snippets that stand for what people write ----------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_golden(name):
    fixed, left = fix_source(read(name + "_before"), "x.py")
    assert fixed == read(name + "_after")
    assert left == []


@pytest.mark.parametrize("name", NAMES)
def test_fix_keeps_the_meaning(name):
    before = read(name + "_before")
    fixed, inputs = assert_same(before, read(name + "_after"))
    broken = {finding.rule for finding in lint_source(before, "x.py")} & {"R4", "R5"}
    model, _ = build(before)
    assert broken <= {finding.rule for finding in inspect_model(model, inputs)}
    left = [finding for finding in inspect_model(fixed, inputs) if finding.severity == "error"]
    assert left == []


@pytest.mark.parametrize("name", NAMES)
def test_fixing_twice_changes_nothing(name):
    after = read(name + "_after")
    assert fix_source(after, "x.py") == (after, [])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("newline", ["\r\n", "\r"])
def test_newlines_stay(name, newline):
    before, after = read(name + "_before"), read(name + "_after")
    fixed, _ = fix_source(before.replace("\n", newline), "x.py")
    assert fixed == after.replace("\n", newline)


@pytest.mark.parametrize("name", NAMES)
def test_tabs_stay(name):
    before, after = read(name + "_before"), read(name + "_after")
    fixed, _ = fix_source(before.replace("    ", "\t"), "x.py")
    assert fixed == after.replace("    ", "\t")


@pytest.mark.parametrize("name", NAMES)
def test_comments_stay(name):
    def comments(source):
        return sorted(line.partition("#")[2] for line in source.splitlines() if "#" in line)

    before = read(name + "_before")
    assert comments(fix_source(before, "x.py")[0]) == comments(before) != []


# R2 -------------------------------------------------------------------------------------------


def forward(body):
    """A module whose forward has this body."""
    lines = textwrap.indent(body, " " * 8)
    return HEAD + "class M(nn.Module):\n    def forward(self, x, y=None):\n" + lines + "\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("return list()", "return []"),
        ("z = list((x, y))", "z = []\nz.append(x)\nz.append(y)"),
        ("z: list = list([x])  # why", "z: list = []  # why\nz.append(x)"),
        # x is read by its own elements.
        ("x = list((x, y))", "items = []\nitems.append(x)\nitems.append(y)\nx = items"),
        ("items = 1\nf(list((x,)))", "items = 1\nitems1 = []\nitems1.append(x)\nf(items1)"),
        ("for v in list((x,)):\n    v", "items = []\nitems.append(x)\nfor v in items:\n    v"),
        # What is in front is evaluated first.
        ("return f(g(x), list((h(y), x)))", "return f(g(x), [h(y), x])"),
        ("return f(x[0], list((h(y), x)))", "return f(x[0], [h(y), x])"),
        ("x += list((h(y), x))", "x += [h(y), x]"),
        # The list may not be made, or be made many times.
        ("return list((x, y)) if x else list((y,))", "return [x, y] if x else [y]"),
        ("return x or list((x, y))", "return x or [x, y]"),
        ("f = lambda: list((x, y))", "f = lambda: [x, y]"),
        ("while list((x, y)):\n    break", "while [x, y]:\n    break"),
        ("return [list((v, v)) for v in x]", "return [[v, v] for v in x]"),
        # There is no line for statements.
        ("z = 1; z = list((x, y))", "z = 1; z = [x, y]"),
        ("if x: z = list((x, y))", "if x: z = [x, y]"),
        # Comments stay where they are.
        ("z = list((\n    x,  # one\n    y,\n))", "z = [\n    x,  # one\n    y,\n]"),
        ("z = list(x.chunk(2, 1))", "z = [v for v in x.chunk(2, 1)]"),
        ("z = list(v + 1 for v in x)", "z = [v + 1 for v in x]"),
        ("z = list([v + 1 for v in x])", "z = [v + 1 for v in x]"),
        ("z = list((*x, y))", "z = [*x, y]"),
        ("z = list(x if y is None else y)", "z = [v for v in (x if y is None else y)]"),
        ("z = list((x))", "z = [v for v in (x)]"),
        ('f("é"); z = list(x)  # é', 'f("é"); z = [v for v in x]  # é'),
    ],
)
def test_list(before, after):
    assert fix(forward(before)) == forward(after)


@pytest.mark.parametrize(
    "body", ["return list(*x)", "return list(\n    # why\n    (x, y))", "return list((z := x))"]
)
def test_list_without_fix(body):
    unfixable(forward(body), "R2", "list")


def test_nested_lists():
    before = forward("return list((list((x, y)), list(x)))")
    fixed = fix(before)
    scope = {}
    exec(fixed, scope)
    assert scope["M"]()(torch.ones(2), 3)[0][1] == 3
    assert "list(" not in fixed


def test_list_where_forward_does_not_come():
    source = """
        import torch.nn as nn

        def pair(x):
            return list((x, x))

        def unused(x):
            return list((x, x))

        class Base(nn.Module):
            def __init__(self):
                super().__init__()
                self.m = nn.ModuleList(list((nn.ReLU(),)))

            def _helper(self, x):
                return list((x,))

            def export(self, x):
                return list((x,))

        class M(Base):
            def forward(self, x):
                return pair(x), self._helper(x)

            def forward_other(self, x):
                return list(x)

        class Data:
            def forward(self, x):
                return list(x)
    """
    source = textwrap.dedent(source)
    assert [finding.line for finding in lint_source(source, "x.py")] == [5, 16, 26]
    assert fix(source).count("list(") == 4


def test_list_that_is_another_function():
    assert rules("from m import list\n" + forward("return list((x, y))")) == []


# R4, class attributes -------------------------------------------------------------------------


def test_class_attribute_can_still_be_overridden():
    before = read("blocks_before")
    scopes = []
    for source in (before, fix_source(before, "x.py")[0]):
        scope = {"__name__": "snippet"}
        exec(source, scope)
        scope["Conv"].default_act = nn.Hardtanh()
        child = type("Child", (scope["Conv"],), {"default_act": nn.Tanh()})
        scopes.append((scope["Conv"](3, 3).act, child(3, 3).act, scope["Conv"](3, 3).act))
    assert [type(act) for act in scopes[0]] == [type(act) for act in scopes[1]]
    assert scopes[0][0] is scopes[0][2] and scopes[1][0] is not scopes[1][2]


ATTRIBUTES = """
    import torch
    from torch import nn

    class Base(nn.Module):
        act = nn.PReLU()
        other: nn.Module = nn.ReLU()
        norm = nn.Identity()  # only looked at
        eps = 1e-3

        def __init__(self):
            super().__init__()
            self.seq = nn.Sequential(nn.Conv2d(3, 3, 1), self.other)
            assert isinstance(self.norm, nn.Identity) and Base.norm is not None

        def forward(self, x):
            return self.act(self.seq(x))

    class Sub(Base):
        other = nn.SiLU()

    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.c = Base(), Sub(), Base()
            self.end = Base.other if self.a else None

        def forward(self, x):
            return self.end(self.c(self.b(self.a(x))))

    def make():
        return M(), (torch.randn(1, 3, 4, 4),)
"""


def test_class_attributes():
    fixed = fix(ATTRIBUTES)
    assert changed(ATTRIBUTES, fixed) == [
        "+",
        "+import copy",
        "+self.act1 = copy.deepcopy(self.act)",
        "-self.seq = nn.Sequential(nn.Conv2d(3, 3, 1), self.other)",
        "+self.seq = nn.Sequential(nn.Conv2d(3, 3, 1), copy.deepcopy(self.other))",
        "-return self.act(self.seq(x))",
        "+return self.act1(self.seq(x))",
        "-self.end = Base.other if self.a else None",
        "+self.end = copy.deepcopy(Base.other) if self.a else None",
    ]
    model, inputs = assert_same(textwrap.dedent(ATTRIBUTES), fixed)
    assert inspect_model(model, inputs) == []


def test_class_attribute_of_the_same_name():
    # The class attribute hides an instance's module of its name: no copy can help.
    unfixable(
        HEAD
        + textwrap.dedent(
            """
            class M(nn.Module):
                act = nn.ReLU()

                def __init__(self):
                    super().__init__()
                    self.act = self.act

                def forward(self, x):
                    return x
            """
        ),
        "R4",
        "shared-module",
    )


def test_default_argument():
    source = """
        from torch import nn

        class M(nn.Module):
            def __init__(self, c, act=nn.ReLU()):
                super().__init__()
                self.act = act

            def forward(self, x):
                return self.act(x)
    """
    assert unfixable(source, "R4", "shared-module").line == 5


# R4, repeated calls ---------------------------------------------------------------------------


def indented(code, depth):
    return textwrap.indent(textwrap.dedent(code).strip("\n"), " " * depth) + "\n"


def block(init, body, methods="", head=HEAD):
    """A module with this constructor, forward and other methods."""
    return (
        head
        + "class M(nn.Module):\n    def __init__(self, c=3):\n        super().__init__()\n"
        + indented(init, 8)
        + "\n    def forward(self, x):\n"
        + indented(body, 8)
        + ("\n" + indented(methods, 4) if methods else "")
        + "\n\ndef make():\n    return M(), (torch.randn(2, 3, 4, 4),)\n"
    )


@pytest.mark.parametrize(
    ("init", "body", "change"),
    [
        (
            "self.relu1 = nn.ReLU()",
            "return self.relu1(self.relu1(x) - 1)",
            ["+self.relu1_1 = nn.ReLU()", "-return self.relu1(self.relu1(x) - 1)"]
            + ["+return self.relu1_1(self.relu1(x) - 1)"],
        ),
        (
            # The name is taken.
            "self.act = nn.Softmax(\n    dim=1,  # channels\n)\nself.act1 = 5",
            "x = self.act(x)\nreturn self.act.forward(x) + self.act1",
            ["+self.act2 = nn.Softmax(", "+dim=1,  # channels", "+)"]
            + [
                "-return self.act.forward(x) + self.act1",
                "+return self.act2.forward(x) + self.act1",
            ],
        ),
        (
            # What is set later in the constructor is copied, too.
            "self.cv = nn.Conv2d(3, c, 1)\nself.apply(print)\nnn.init.ones_(self.cv.bias)  # 1",
            "return self.cv(self.cv(x))",
            ["+import copy", "+", "+self.cv1 = copy.deepcopy(self.cv)"]
            + ["-return self.cv(self.cv(x))", "+return self.cv1(self.cv(x))"],
        ),
        (
            # The calls of a local function, and of a branch that is the other one.
            "self.a = nn.Dropout(0.5)",
            "def f(v):\n    return self.a(v)\nif x is None:\n    return self.a(x)\n"
            "elif x.dim() == 3:\n    x = self.a(x)\nelse:\n    x = self.a(-x)\nreturn f(x)",
            ["+self.a1 = nn.Dropout(0.5)", "-return self.a(v)", "+return self.a1(v)"],
        ),
    ],
)
def test_repeated_calls(init, body, change):
    before = block(init, body)
    fixed = fix(before)
    assert changed(before, fixed) == change
    model, inputs = assert_same(before, fixed)
    assert inspect_model(model, inputs) == []


@pytest.mark.parametrize(
    "body",
    [
        "return self.a(x) if x is None else self.a(-x)",
        "if x is None:\n    return self.a(x)\nreturn self.a(-x)",
        "if x is not None:\n    pass\nelse:\n    raise ValueError\nreturn self.a(x)",
        "for v in x:\n    if v is None:\n        return self.a(v)\nreturn x",
        "return x if x is None else self.b(x)",
        "return self.nop(self.nop(x))",
        "return self.scale(self.scale(x))",
        "return self.items[0](self.items[1](x))",
        "return self.a.weight(x), self.a.weight(x)",
    ],
)
def test_calls_that_are_not_repeated(body):
    init = """
        self.a = nn.Conv2d(c, c, 1)
        self.nop = OutNop()
        self.scale = float
        self.items = nn.ModuleList([nn.ReLU(), nn.ReLU()])
    """
    methods = "def b(self, x):\n    return self.a(x)"
    source = "from kit import OutNop\n" + block(init, body, methods)
    assert lint_source(source, "x.py") == []


@pytest.mark.parametrize(
    "body",
    [
        "for _ in range(3):\n    x = self.a(x)\nreturn x",
        "while x is not None:\n    x = self.a(x)\nreturn x",
        "return [self.a(v) for v in x]",
        "return self.b(self.b(x))",
        "return self.items[0](self.items[0](x))",
        "return self.normed(self.normed(x))",
        "return self.late(self.late(x))",
        "return self.handed(self.handed(x))",
        "return self.one(self.one(x))",
        "return self.hooked(self.hooked(x))",
    ],
)
def test_repeated_calls_without_fix(body):
    init = """
        self.a = nn.Conv2d(c, c, 1)
        self.items = nn.ModuleList([nn.ReLU(), nn.ReLU()])
        self.normed = nn.utils.weight_norm(nn.Conv2d(c, c, 1))
        self.late = nn.Conv2d(c, c, 1)
        self.handed = nn.Conv2d(c, c, 1)
        self.one = self.two = nn.ReLU()
        self.hooked = nn.Conv2d(c, c, 1)
        self.hooked.register_forward_hook(print)
    """
    methods = """
        def b(self, x):
            return self.a(x)

        def reset(self):
            self.late.weight.data.zero_()
    """
    swap = "\n\ndef swap(model):\n    model.handed = nn.Identity()\n"
    unfixable(block(init, body, methods) + swap, "R4", "repeated-call")


def test_names_that_are_made_when_it_runs():
    init = "self.a = nn.ReLU()\nfor i in range(3):\n    setattr(self, f'a{i}', nn.Conv2d(3, 3, i))"
    unfixable(block(init, "return self.a(self.a(x) - 1)"), "R4", "repeated-call")
    init = "self.a = nn.ReLU()\nself.add_module('a1', nn.Conv2d(3, 3, 1))"
    assert "self.a2(self.a(x) - 1)" in fix(block(init, "return self.a(self.a(x) - 1)"))


def test_a_subclass_that_replaces_the_module_is_not_broken():
    source = block("self.a = nn.ReLU()", "return self.a(self.a(x) - 1)") + textwrap.dedent(
        """

        class Sub(M):
            def __init__(self):
                super().__init__()
                self.a = nn.SiLU()
        """
    )
    unfixable(source, "R4", "repeated-call")


# R5 -------------------------------------------------------------------------------------------


def test_replaced_forward_with_a_condition():
    before = """
        import torch
        from torch import nn

        class M(nn.Module):
            def __init__(self, flip: bool = True) -> None:
                super().__init__()
                self.forward = self.forward_a if flip else self.forward_b  # choose

            def forward_a(self, x, s=2, *rest, k=1, **more): return x * s * k
            def forward_b(self, x, s=2, *rest, k=1, **more): return -x

        def make():
            return M(), (torch.ones(2),)
    """
    fixed = fix(before)
    assert changed(before, fixed) == [
        "-self.forward = self.forward_a if flip else self.forward_b  # choose",
        '+self._forward_method = "forward_a" if flip else "forward_b"  # choose',
        "+",
        "+def forward(self, x, s=2, *rest, k=1, **more):",
        '+if self._forward_method == "forward_a":',
        "+return self.forward_a(x, s, *rest, k=k, **more)",
        "+return self.forward_b(x, s, *rest, k=k, **more)",
    ]
    assert_same(textwrap.dedent(before), fixed)
    scope = {}
    exec(fixed, scope)
    assert scope["M"]()(torch.ones(1), 3, 4, k=5, z=6) == 15
    assert scope["M"](False)(torch.ones(1)) == -1


@pytest.mark.parametrize(
    "code",
    [
        "self.forward = lambda x: x",
        "self.forward = types.MethodType(forward_a, self)",
        "self.forward = self.inherited",
        "if c:\n    self.forward = self.forward_a",
        "self.run = self.forward = self.forward_a",
        "self.forward = self.forward_a if c else self.other_signature",
        'setattr(self, "forward", self.forward_a)',
        "x = 1; self.forward = self.forward_a",
        "if c: self.forward = self.forward_a\nelse: self.forward = self.forward_b",
    ],
)
def test_replaced_forward_without_fix(code):
    source = HEAD + "class M(nn.Module):\n    def __init__(self, c):\n        super().__init__()\n"
    source += textwrap.indent(code, " " * 8) + textwrap.dedent(
        """

        def forward_a(self, x):
            return x

        def forward_b(self, x):
            return x

        def other_signature(self, x, y):
            return x
        """
    ).replace("\n", "\n    ")
    fixed, findings = fix_source(source, "x.py")
    assert fixed == source
    assert {(finding.rule, finding.kind) for finding in findings} == {("R5", "other-method")}


@pytest.mark.parametrize(
    "more",
    [
        "class Sub(M):\n    def forward(self, x):\n        return -x\n",
        "def run(m, x):\n    return M.forward(m, x)\n",
    ],
)
def test_replaced_forward_that_others_count_on(more):
    source = HEAD + textwrap.dedent(
        """
        class M(nn.Module):
            def __init__(self):
                super().__init__()
                self.forward = self.forward_a

            def forward(self, x):
                return x

            def forward_a(self, x):
                return x + 1


        """
    )
    assert fix(source) != source
    unfixable(source + more, "R5", "other-method")


def test_forward_replaced_from_outside():
    source = """
        def fuse(model):
            for m in model.modules():
                m.forward = m.forward_fuse

        class Plain:
            def __init__(self, forward):
                self.forward = forward
    """
    assert unfixable(source, "R5", "other-method").line == 4


# R1 and R3 ------------------------------------------------------------------------------------

HEADS = """
    self.a = nn.Conv2d(c, 4, 1)
    self.b = nn.Conv2d(c, 4, 1)
    self.m = nn.ModuleList(nn.Conv2d(c, 4, 1) for _ in range(2))
    self.n = nn.ModuleList(nn.Conv2d(c, 4, 1) for _ in range(2))
    self.out_nop = OutNop()
    self.out_nop1 = OutNop()
"""
NOP_HEAD = HEAD + "class OutNop(nn.Module):\n    def forward(self, x):\n        return x\n\n\n"


def head(body, init=HEADS):
    return block(init, body, head=NOP_HEAD)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            "a = self.a(x)\nb = self.b(x)\na, b = self.out_nop(a), self.out_nop1(b)\nreturn a, b",
            "a = self.out_nop(self.a(x))\nb = self.out_nop1(self.b(x))\nreturn a, b",
        ),
        (
            "a = self.a(x)\nb = self.b(x)\ny = self.out_nop(a)  # a\nreturn y, b",
            "a = self.a(x)\ny = self.out_nop(a)  # a\nb = self.b(x)\nreturn y, b",
        ),
        (
            "return self.out_nop(torch.cat((self.a(x), self.b(x)), 1)).sigmoid()",
            "return torch.cat((self.out_nop(self.a(x)), self.out_nop(self.b(x))), 1).sigmoid()",
        ),
        (
            "y = torch.cat((self.out_nop(self.a(x)), x), 1)\nz = self.out_nop1(self.b(x))\n"
            "return y, z",
            "out = self.out_nop(self.a(x))\nz = self.out_nop1(self.b(x))\n"
            "y = torch.cat((out, x), 1)\nreturn y, z",
        ),
        (
            "y = []\nfor i in range(2):\n    y.append(self.out_nop(self.m[i](x)).sigmoid())\n"
            "return y",
            "y = []\nlevels = []\nfor i in range(2):\n    out = self.out_nop(self.m[i](x))\n"
            "    levels.append(out)\nfor out in levels:\n"
            "    y.append(out.sigmoid())\nreturn y",
        ),
    ],
)
def test_nops(before, after):
    assert fix(head(before)) == head(after)
    assert_same(head(before), head(after))


@pytest.mark.parametrize(
    ("rule", "body"),
    [
        # Someone reads the value in between: he would read the nop's result.
        ("R1", "a = self.a(x)\nb = self.b(x) + a\na = self.out_nop(a)\nreturn a, b"),
        # The second layer reads what the tail has made.
        (
            "R3",
            "a = self.out_nop(self.a(x)).sigmoid()\nb = self.out_nop1(self.b(x + a[:, :3]))\n"
            "return a, b",
        ),
        # In place, in what a later layer reads.
        (
            "R3",
            "a = self.out_nop(self.a(x))\ny = a.view(-1)\nx += 1\n"
            "b = self.out_nop1(self.b(x))\nreturn y, b",
        ),
        # A loop that carries something, and one that may end early.
        ("R3", "for i in range(2):\n    x = self.out_nop(self.m[i](x)).sigmoid()[:, :3]\nreturn x"),
        (
            "R3",
            "y = []\nfor i in range(2):\n    a = self.out_nop(self.m[i](x))\n"
            "    y.append(a.sigmoid())\n    if i:\n        break\nreturn y",
        ),
        # No nops on the second level.
        (
            "R3",
            "a, b = self.out_nop(self.m[0](x)), self.out_nop1(self.n[0](x))\n"
            "y = [torch.cat((a, b), 1)]\ny.append(torch.cat((self.m[1](x), self.n[1](x)), 1))\n"
            "return y",
        ),
        (
            "R3",
            "y = [torch.cat((self.out_nop(self.m[0](x)), self.out_nop1(self.n[0](x))), 1)]\n"
            "y.append(torch.cat((self.m[1](x), self.n[1](x)), 1))\nreturn y",
        ),
        # No nops at all.
        (
            "R3",
            "y = torch.cat((self.m[0](x), self.n[0](x)), 1)\n"
            "z = torch.cat((self.m[1](x), self.n[1](x)), 1)\nreturn y, z",
        ),
        (
            "R3",
            "for i in range(2):\n    x[i] = torch.cat((self.m[i](x[i]), self.m[i](x[i])), 1)\n"
            "return x",
        ),
        (
            "R3",
            "for i in range(2):\n    x[i] = self.m[i](x[i])\n    x[i] = x[i].view(1, -1)\nreturn x",
        ),
    ],
)
def test_nops_without_fix(rule, body):
    source = head(body)
    fixed, findings = fix_source(source, "x.py")
    assert fixed == source
    assert [finding.rule for finding in findings] == [rule]


IN_PLACE = """
    self.out_nop = OutNop()
    self.m = nn.ModuleList(nn.Sequential(nn.ReLU(True), nn.Conv2d(c, c, 1)) for _ in range(2))
    self.same = nn.ModuleList(nn.Sequential(nn.ReLU(True)) for _ in range(2))
"""


def test_layers_that_work_in_place():
    # What the tail reads is memory of its own: the layer's last step is a convolution.
    body = (
        "x = [x, x]\nfor i in range(2):\n    x[i] = torch.cat((self.out_nop(self.m[i](x[i])),), 1)"
    )
    before = head(body + "\nreturn x", IN_PLACE)
    fixed = fix(before)
    assert "enumerate(levels)" in fixed
    assert_same(before, fixed)


@pytest.mark.parametrize(
    "line",
    [
        # The result may be the input, which the next level changes.
        "y.append(self.out_nop(self.same[i](x)).sigmoid())",
        # The tail reads the input, too.
        "y.append(torch.cat((self.out_nop(self.m[i](x)), x), 1))",
    ],
)
def test_layers_that_may_change_what_the_tail_reads(line):
    body = "y = []\nfor i in range(2):\n    {}\nreturn y".format(line)
    unfixable(head(body, IN_PLACE), "R3", "early-tail")


def test_right_heads_are_clean():
    source = head(
        "a = self.out_nop(self.a(x))\nb = self.b(x)\nb = self.out_nop1(b)\n"
        "y = torch.cat((a, b), 1)\nif self.training:\n    return y\nreturn y.sigmoid()"
    )
    assert lint_source(source, "x.py") == []


def test_an_out_nop_that_computes_is_none():
    source = head("return self.out_nop(torch.cat((self.a(x), self.b(x)), 1))")
    assert rules(source) == ["R3"]
    assert rules(source.replace("return x\n", "return x * 2\n")) == []


# Comments, spelling, files --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("comment", "found"),
    [("", 1), ("  # fqat: ignore", 0), ("  # fqat: ignore[R2]", 0), ("  # fqat:ignore[r1, r2]", 0)]
    + [("  # fqat: ignore[R4]", 1), ("  # ignore", 1)],
)
def test_ignore(comment, found):
    source = forward("return list((x, y))" + comment)
    assert len(lint_source(source, "x.py")) == found
    assert (fix_source(source, "x.py")[0] == source) == (found == 0)


TWICE = "class M(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
TWICE += "        self.a = nn.Linear(3, 3)\n\n    def forward(self, x):\n"
TWICE += "        return self.a(self.a(x))\n"


@pytest.mark.parametrize(
    ("before", "after", "copy"),
    [
        ("from torch import nn\n", "import copy\n\nfrom torch import nn\n", "copy.deepcopy"),
        (
            '"""Doc."""\n\nimport abc\nimport os\n\nfrom torch import nn\n',
            '"""Doc."""\n\nimport abc\nimport copy\nimport os\n\nfrom torch import nn\n',
            "copy.deepcopy",
        ),
        (
            "import abc\nfrom os import path\n\nfrom torch import nn\n",
            "import abc\nimport copy\nfrom os import path\n\nfrom torch import nn\n",
            "copy.deepcopy",
        ),
        (
            "#!/usr/bin/env python\n# License\n\n# theirs\nfrom torch import nn\n",
            "#!/usr/bin/env python\n# License\n\n# theirs\nimport copy\n\nfrom torch import nn\n",
            "copy.deepcopy",
        ),
        (
            "from __future__ import annotations\n\nfrom torch import nn\n",
            "from __future__ import annotations\n\nimport copy\n\nfrom torch import nn\n",
            "copy.deepcopy",
        ),
        ("import copy as c\nfrom torch import nn\n", None, "c.deepcopy"),
        ("from copy import deepcopy\nfrom torch import nn\n", None, "deepcopy"),
        (
            "from torch import nn\n\n\ndef copy(): pass\n",
            "from copy import deepcopy\n\nfrom torch import nn\n\n\ndef copy(): pass\n",
            "deepcopy",
        ),
    ],
)
def test_import(before, after, copy):
    line = "        self.a1 = {}(self.a)\n".format(copy)
    expected = TWICE.replace("Linear(3, 3)\n", "Linear(3, 3)\n" + line).replace(
        "self.a(self", "self.a1(self"
    )
    assert fix(before + TWICE) == (after or before) + expected


def test_import_under_a_parameter_of_that_name():
    fixed = fix(
        "import copy\nfrom torch import nn\n" + TWICE.replace("(self)", "(self, copy=True)", 1)
    )
    assert "self.a1 = deepcopy(self.a)" in fixed and "from copy import deepcopy" in fixed


def test_end_of_file_without_newline():
    source = "from torch import nn\nclass M(nn.Module):\n    def forward(self, x):\n"
    fixed = fix(source + "        y = list((x, x))")
    assert fixed.endswith("        y = []\n        y.append(x)\n        y.append(x)")


@pytest.mark.parametrize("source", ["def f(:\n", "x = '\n", "\0", "(" * 2000, "-" * 9999])
def test_no_python(source):
    with pytest.raises(SourceError, match="^x.py:.*error: [^\n]*$"):
        lint_source(source, "x.py")


# Random functions -----------------------------------------------------------------------------

names = st.sampled_from(["x", "y", "t(1)", "t(2)", "x[0]", "(t(3))", "t(x)[-1]"])


@st.composite
def expressions(draw, depth=2):
    """Expressions with lists, whose evaluation leaves a trace."""
    if depth == 0:
        return draw(names)
    inner = expressions(depth=depth - 1)
    parts = draw(st.lists(inner, min_size=1, max_size=3))
    form = draw(
        st.sampled_from(
            ["list(({},))", "list([{}])", "t({})", "[{}]", "list(({},))[0]", "list(t({}))"]
            + [
                "({0} if t(0) else list(({0},)))",
                "(t(0) or list([{0}]))",
                "(lambda: list(({},)))()",
            ]
        )
    )
    return form.format(", ".join(parts))


@st.composite
def statements(draw):
    form = draw(
        st.sampled_from(
            ["x = {}", "y = {}", "z = w = {}", "x, y = {}, {}", "z[t(0)[0]] = {}", "t({}, {})"]
            + [
                "for v in {}:\n    t(v)",
                "if {}:\n    x = {}",
                "while t({}) and z.pop(0):\n    y = {}",
            ]
            + ["x = {}; t({})", "z += {}", "assert t({}), {}", "z: t(9) = {}"]
        )
    )
    return form.format(*(draw(expressions()) for _ in range(form.count("{}"))))


@settings(max_examples=100, deadline=None)
@given(st.lists(statements(), min_size=1, max_size=4))
def test_lists_are_evaluated_as_before(lines):
    body = "\n".join(["y = z = [1, 0]", *lines, "return x, y, z"])
    before = forward(body).replace(HEAD, "nn = __import__('torch').nn\n")
    after, left = fix_source(before, "x.py")
    assert left == [] and "list(" not in after
    assert fix_source(after, "x.py") == (after, [])
    results = []
    for source in (before, after):
        trace = []

        def t(*values, trace=trace):
            trace.append(repr(values))
            return list(values)

        scope = {"t": t}
        exec(source, scope)
        try:
            results.append((scope["M"]().forward([1, 2]), trace))
        except Exception as error:
            results.append((repr(error), trace))
    assert repr(results[0]) == repr(results[1])


# The command ----------------------------------------------------------------------------------


def run(*arguments, **options):
    environment = dict(
        os.environ, PYTHONPATH=str(Path(__file__).parents[1]), PYTHONIOENCODING="utf8"
    )
    return subprocess.run(
        [sys.executable, "-m", "fqat", "lint", *map(str, arguments)],
        env=environment,
        capture_output=True,
        text=True,
        **options,
    )


BAD = forward("return list((x, y))  # caf\xe9")


def test_command_finds(tmp_path):
    (tmp_path / "b.py").write_text(BAD)
    (tmp_path / "a.py").write_text("from torch import nn\n" + TWICE)
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "c.py").write_text(BAD)
    result = run(".", cwd=tmp_path)
    assert result.returncode == 1
    assert [line.split(" ")[:3] for line in result.stdout.splitlines()] == [
        ["./a.py:8:", "error:", "R4"],
        ["./b.py:7:", "error:", "R2"],
    ]
    assert run(".", "--rule", "r4,R5", cwd=tmp_path).stdout.count("\n") == 1
    report = json.loads(run("b.py", "--json", cwd=tmp_path).stdout)
    assert [(f["file"], f["line"], f["rule"], f["related"]) for f in report["findings"]] == [
        ("b.py", 7, "R2", [])
    ]


def test_command_shows_a_diff(tmp_path):
    file = tmp_path / "a.py"
    file.write_text(BAD)
    result = run("a.py", "--diff", cwd=tmp_path)
    assert result.returncode == 1 and file.read_text() == BAD
    assert "--- a.py\n+++ a.py\n" in result.stdout and "+        items = []\n" in result.stdout
    report = json.loads(run("a.py", "--diff", "--json", cwd=tmp_path).stdout)
    assert report["diff"] in result.stdout


def test_command_knows_what_a_line_is(tmp_path):
    (tmp_path / "a.py").write_text(BAD.replace("class", "\f\nclass").replace("caf", "\u2028caf"))
    result = run("a.py", "--diff", cwd=tmp_path)
    assert result.stdout.splitlines()[0].startswith("a.py:8: error: R2")
    assert len(result.stdout.split("\n@@")) == 2 and "\\ No newline" not in result.stdout


def test_command_fixes(tmp_path):
    file, link = tmp_path / "a.py", tmp_path / "link.py"
    data = ("# -*- coding: latin-1 -*-\n" + BAD).replace("\n", "\r\n").encode("latin-1")
    file.write_bytes(data)
    file.chmod(0o750)
    link.symlink_to("a.py")
    result = run("link.py", "--fix", cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    assert "+        return items" in result.stdout
    fixed = file.read_bytes()
    assert b"caf\xe9\r\n" in fixed and fixed.count(b"\n") == fixed.count(b"\r\n") > data.count(
        b"\n"
    )
    assert stat.S_IMODE(file.stat().st_mode) == 0o750 and link.is_symlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.py", "link.py"]
    again = run("a.py", "--fix", cwd=tmp_path)
    assert (again.returncode, again.stdout, file.read_bytes()) == (0, "", fixed)


def test_command_keeps_a_byte_order_mark(tmp_path):
    file = tmp_path / "a.py"
    file.write_bytes(b"\xef\xbb\xbf" + BAD.encode())
    assert run("a.py", "--fix", cwd=tmp_path).returncode == 0
    assert file.read_bytes()[:3] == b"\xef\xbb\xbf" and b"\xef\xbb\xbf" not in file.read_bytes()[3:]


def test_command_reports_what_is_left(tmp_path):
    (tmp_path / "a.py").write_text(
        BAD + "\n    forward_b = lambda self: 0\n\n\ndef f(m):\n    m.forward = m\n"
    )
    result = run("a.py", "--fix", cwd=tmp_path)
    assert result.returncode == 1
    assert [line[:7] for line in result.stdout.splitlines() if "error" in line] == ["a.py:16"]


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("a.py", b"def f(:\n", "a.py:1:"),
        ("a.py", b"# coding: nonsense\n", "encoding"),
        ("a.py", b"\xff\n", "encoding"),
        ("a.txt", b"", "no Python files"),
    ],
)
def test_command_with_unusable_input(tmp_path, name, data, words):
    (tmp_path / name).write_bytes(data)
    result = run(".", cwd=tmp_path)
    assert (result.returncode, result.stdout) == (2, "")
    assert words in result.stderr and result.stderr.count("\n") == 1


def test_command_without_such_a_file_or_rule():
    result = run("nowhere.py")
    assert result.returncode == 2 and result.stderr.startswith("nowhere.py: error:")
    result = run("nowhere.py", "--rule", "R9")
    assert result.returncode == 2 and "there are R1, R2" in result.stderr


def test_command_without_libcst(tmp_path):
    (tmp_path / "libcst.py").write_text("raise ModuleNotFoundError(name='libcst')\n")
    code = "import sys; sys.path.insert(0, sys.argv[1]); from fqat.__main__ import main\n"
    result = subprocess.run(
        [sys.executable, "-c", code + "sys.exit(main(['lint', 'x']))", str(tmp_path)],
        env=dict(os.environ, PYTHONPATH=str(Path(__file__).parents[1])),
        capture_output=True,
        text=True,
    )
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == "fqat lint needs libcst: pip install fqat[lint]\n"


def test_sources_parse_as_python_3_6():
    package = Path(__file__).parents[1] / "fqat"
    files = [*(package / "lint").glob("*.py"), package / "live.py", package / "__main__.py"]
    assert len(files) > 8
    for file in files:
        ast.parse(file.read_text(), feature_version=(3, 6))
