"""Real models, where the folder with them lies beside the checkout."""

import pytest
import torch
from compare import assert_same_model, assert_same_run, assert_same_when_saved_again
from conftest import SHARED_MODELS, assert_equivalent, records

MODELS = sorted(path for path in SHARED_MODELS.glob("*.pt") if not path.name.endswith(".inputs.pt"))
SCRIPTED = {"form_script_cf", "tv_mobilenet_v2_script"}
NOTHING = "--pass-pipeline=builtin.module()"


def load_inputs(path):
    return tuple(torch.load(path.with_suffix(".inputs.pt"), weights_only=False))


def parameters():
    return [pytest.param(path, id=path.stem) for path in MODELS]


if not MODELS:
    pytest.skip("the shared models are not there", allow_module_level=True)


@pytest.mark.parametrize("model", parameters())
def test_fix(tool, tmp_path, model):
    fixed = tmp_path / "fixed.pt"
    tool.run(model, "-o", fixed)
    assert_equivalent(model, fixed, load_inputs(model))
    tool.run("--check", fixed)
    unproved = tmp_path / "unproved.pt"
    tool.run(model, "-o", unproved, "--no-prove")
    assert unproved.read_bytes() == fixed.read_bytes()
    again = tmp_path / "again.pt"
    tool.run(fixed, "-o", again)
    assert records(again) == records(fixed)


@pytest.mark.parametrize("extension", (".pt", ".mlirbc"))
@pytest.mark.parametrize("model", parameters())
def test_round_trip_without_passes(tool, tmp_path, model, extension):
    between, output = tmp_path / f"between{extension}", tmp_path / "same.pt"
    tool.run(model, "-o", between, NOTHING)
    tool.run(between, "-o", output, NOTHING)
    inputs = load_inputs(model)
    halves = tuple(v * 0.5 if torch.is_floating_point(v) else v for v in inputs)
    assert_equivalent(model, output, inputs)
    assert_equivalent(model, output, halves)
    assert_same_model(model, output)
    assert_same_run(model, output)
    if model.stem in SCRIPTED:
        assert_same_when_saved_again(model, output)
    before, after = records(model), records(output)
    for name in before:
        if name.startswith("traced_inputs"):
            assert before[name] == after[name]


@pytest.mark.parametrize("name", ("yolov8n_export", "yolo11n_eval"))
def test_fix_without_the_dfl_conv(tool, tmp_path, name):
    model, fixed = SHARED_MODELS / f"{name}.pt", tmp_path / "fixed.pt"
    tool.run(model, "-o", fixed, "--exclude", "*.dfl")
    assert_equivalent(model, fixed, load_inputs(model))
    tool.run("--check", fixed, "--exclude", "*.dfl")


def test_detect_reads_like_the_fix_by_hand(tool, filecheck):
    filecheck(
        tool.emit_mlir(SHARED_MODELS / "yolov8n_train82.pt"),
        """
CHECK-LABEL: fqat.method @model.22.forward(
CHECK: fqat.call @model.22.cv2.0.forward
CHECK-NEXT: fqat.out_nop @model.22.out_nop(
CHECK-NEXT: fqat.call @model.22.cv3.0.forward
CHECK-NEXT: fqat.out_nop @model.22.out_nop1(
CHECK: fqat.call @model.22.cv2.1.forward
CHECK-NEXT: fqat.out_nop @model.22.out_nop2(
CHECK-NEXT: fqat.call @model.22.cv3.1.forward
CHECK-NEXT: fqat.out_nop @model.22.out_nop3(
CHECK: fqat.call @model.22.cv2.2.forward
CHECK-NEXT: fqat.out_nop @model.22.out_nop4(
CHECK-NEXT: fqat.call @model.22.cv3.2.forward
CHECK-NEXT: fqat.out_nop @model.22.out_nop5(
CHECK-COUNT-3: fqat.op "aten::cat"
CHECK: fqat.return
""",
    )
