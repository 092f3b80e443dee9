"""The mistakes that the training kit refuses, each in a model that makes just that one."""

import torch
from conftest import assert_equivalent, records
from torch import nn

X = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))


class OutNop(nn.Module):
    def forward(self, x):
        return x


def check_fix(tool, model, rule, inputs=(X,)):
    """Traces, fixes and compares; returns the fixed file."""
    torch.manual_seed(0)
    original = tool.trace(model.eval(), inputs)
    findings = tool.run("--check", original, expect=1).stderr
    assert f"[fqat-{rule.lower()}]" in findings
    assert __file__ in findings, "a finding names the Python line"
    fixed = tool.fix(original)
    assert_equivalent(original, fixed, inputs)
    tool.run("--check", fixed)
    # Fixing a fixed file changes nothing.
    assert records(tool.fix(fixed)) == records(fixed)
    return original, fixed


class ActBlock(nn.Module):
    default_act = nn.SiLU()

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1)
        self.act = self.default_act

    def forward(self, x):
        return self.act(self.conv(x))


def test_r4_class_attribute_activation(tool, filecheck):
    original, _ = check_fix(tool, nn.Sequential(ActBlock(), ActBlock(), ActBlock()), "R4")
    filecheck(
        tool.emit_mlir(original),
        """
CHECK: fqat.method @"0.forward"
CHECK: fqat.call @"0.act.forward"
CHECK: fqat.method @"1.forward"
CHECK: fqat.call @"1.act.forward"
CHECK: fqat.method @"2.forward"
CHECK: fqat.call @"2.act.forward"
""",
    )


class TwiceConv(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1)

    def forward(self, x):
        return self.conv(torch.relu(self.conv(x)))


def test_r4_conv_called_twice(tool, filecheck):
    original, fixed = check_fix(tool, TwiceConv(), "R4")
    filecheck(
        tool.emit_mlir(original),
        """
CHECK: fqat.module @"$" class "__torch__.test_five_errors.TwiceConv" slots
CHECK-SAME: "conv", "conv1", "out_nop"]
CHECK: fqat.method @forward
CHECK: fqat.call @conv.forward(
CHECK: fqat.op "aten::relu"
CHECK: fqat.call @conv1.forward(
""",
    )
    state = torch.jit.load(str(fixed)).state_dict()
    assert list(state) == ["conv.weight", "conv.bias", "conv1.weight", "conv1.bias"]
    assert torch.equal(state["conv.weight"], state["conv1.weight"])
    assert state["conv.weight"].data_ptr() != state["conv1.weight"].data_ptr()


def test_r4_clone_params_share_keeps_them_tied(tool):
    original = tool.trace(TwiceConv().eval(), X)
    fixed = tool.fix(original, "--clone-params", "share")
    assert_equivalent(original, fixed, (X,))
    state = torch.jit.load(str(fixed)).state_dict()
    assert state["conv.weight"].data_ptr() == state["conv1.weight"].data_ptr()


class CatPerLevel(nn.Module):
    def __init__(self):
        super().__init__()
        self.cv2 = nn.ModuleList(nn.Conv2d(4, 4, 1) for _ in range(2))
        self.cv3 = nn.ModuleList(nn.Conv2d(4, 3, 1) for _ in range(2))

    def forward(self, x):
        return [torch.cat((self.cv2[i](x), self.cv3[i](x)), 1) for i in range(2)]


def test_r3_cat_per_level_before_the_nops(tool, filecheck):
    original, _ = check_fix(tool, CatPerLevel(), "R1")
    filecheck(
        tool.emit_mlir(original),
        """
CHECK: fqat.method @forward
CHECK: %[[A:.*]] = fqat.call @cv2.0.forward
CHECK-NEXT: %[[NA:.*]] = fqat.out_nop @out_nop(%[[A]])
CHECK-NEXT: %[[B:.*]] = fqat.call @cv3.0.forward
CHECK-NEXT: %[[NB:.*]] = fqat.out_nop @out_nop1(%[[B]])
CHECK: %[[C:.*]] = fqat.call @cv2.1.forward
CHECK-NEXT: %[[NC:.*]] = fqat.out_nop @out_nop2(%[[C]])
CHECK-NEXT: %[[D:.*]] = fqat.call @cv3.1.forward
CHECK-NEXT: %[[ND:.*]] = fqat.out_nop @out_nop3(%[[D]])
CHECK-NEXT: %[[L0:.*]] = fqat.list(%[[NA]], %[[NB]])
CHECK-NEXT: fqat.op "aten::cat"(%[[L0]]
CHECK-NEXT: %[[L1:.*]] = fqat.list(%[[NC]], %[[ND]])
CHECK-NEXT: fqat.op "aten::cat"(%[[L1]]
""",
    )


class NopsAfterBothConvs(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1)
        self.out_nop, self.out_nop1 = OutNop(), OutNop()

    def forward(self, x):
        a, b = self.conv1(x), self.conv2(x)
        return self.out_nop(a), self.out_nop1(b)


def test_r1_conv_conv_nop_nop(tool, filecheck):
    original, fixed = check_fix(tool, NopsAfterBothConvs(), "R1")
    filecheck(
        tool.emit_mlir(original),
        """
CHECK: fqat.method @forward
CHECK: %[[A:.*]] = fqat.call @conv1.forward
CHECK-NEXT: %[[NA:.*]] = fqat.out_nop @out_nop(%[[A]])
CHECK-NEXT: %[[B:.*]] = fqat.call @conv2.forward
CHECK-NEXT: %[[NB:.*]] = fqat.out_nop @out_nop1(%[[B]])
CHECK-NEXT: fqat.return %[[NA]], %[[NB]]
""",
    )
    # The nops that the model has serve: none is added beside them.
    names = [name for name, _ in torch.jit.load(str(fixed)).named_modules()]
    assert names == ["", "conv1", "conv2", "out_nop", "out_nop1"]


class PartialConv(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 3, padding=1)
        self.forward = self.forward_slicing

    def forward_slicing(self, x):
        x = x.clone()
        x[:, :2] = self.conv(x[:, :2])
        return x


class PartialNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1)
        self.partial = PartialConv()

    def forward(self, x):
        return self.last(self.partial(self.first(x)))


def test_r5_forward_assigned_on_the_instance(tool, filecheck):
    # Tracing names the method that ran forward: what is left is to keep the slice
    # write where it is, between the convs and before the nop.
    original, _ = check_fix(tool, PartialNet(), "R1")
    filecheck(
        tool.emit_mlir(original),
        """
CHECK: fqat.method @forward
CHECK: %[[C:.*]] = fqat.call @last.forward
CHECK-NEXT: %[[N:.*]] = fqat.out_nop @out_nop(%[[C]])
CHECK-NEXT: fqat.return %[[N]]
CHECK: fqat.method @partial.forward
CHECK: %[[X:.*]] = fqat.op "aten::clone"
CHECK: fqat.call @partial.conv.forward
CHECK: fqat.op "aten::copy_"{{.*}} writes [0]
CHECK-NEXT: fqat.return %[[X]]
""",
    )


class TwoEntries(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Conv2d(4, 4, 1)

    def forward(self, x):
        return self.body(x)

    def features(self, x):
        return torch.tanh(self.body(x))


def test_r5_other_exported_method_traced_first(tool):
    # The child's forward belongs to the method that was traced first.
    model = TwoEntries().eval()
    path = tool.folder / "two.pt"
    torch.jit.trace_module(model, {"features": X, "forward": X}).save(str(path))
    assert "[fqat-r5]" in tool.run("--check", path, expect=1).stderr
    fixed = tool.fix(path)
    assert_equivalent(path, fixed, (X,))
    tool.run("--check", fixed)
    before, after = torch.jit.load(str(path)), torch.jit.load(str(fixed))
    assert torch.equal(before.features(X), after.features(X))
