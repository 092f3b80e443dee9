"""Models that bench/generate.py writes: they are what tracing writes, and are fixed like others."""

import sys
import zipfile

import pytest
import torch
from conftest import ROOT, assert_equivalent

sys.path.insert(0, str(ROOT / "bench"))
import generate  # noqa: E402


@pytest.mark.parametrize("plain", [False, True], ids=["modules", "plain"])
@pytest.mark.parametrize("shape", ["deep", "wide", "shared", "heads"])
def test_generated_model_is_fixed(tool, tmp_path, shape, plain):
    model = tmp_path / "model.pt"
    ops = 800 if plain else 150
    count = generate.generate(shape, ops, model, plain=plain)
    assert ops / 2 < count < ops * 5
    fixed = tool.fix(model)
    assert_equivalent(model, fixed, (torch.ones(1, 2, 2, 2),))
    tool.run("--check", fixed)


def test_generator_counts_what_torch_runs(tmp_path):
    model = tmp_path / "model.pt"
    count = generate.generate("shared", 300, model)
    graph = torch.jit.load(str(model)).inlined_graph
    kinds = [node.kind() for node in graph.nodes() if node.kind().startswith("aten::")]
    # One concat a level and one of all, of which torch merges some.
    assert len(kinds) - kinds.count("aten::cat") == count - 4


def test_weights_take_what_was_asked_for(tmp_path):
    model = tmp_path / "model.pt"
    generate.generate("deep", 100, model, megabytes=8)
    assert 7 * 2**20 < model.stat().st_size < 9 * 2**20


def test_cloned_weights_are_whole(tool, tmp_path):
    """Blocks that are called four times: the input's weights come in another order."""
    model = tmp_path / "model.pt"
    generate.generate("shared", 300, model, megabytes=4)
    fixed = tool.fix(model)
    assert_equivalent(model, fixed, (torch.randn(1, *input_sizes(model)),))
    with zipfile.ZipFile(fixed) as archive:
        assert archive.testzip() is None
    assert fixed.stat().st_size > 2 * model.stat().st_size


def input_sizes(model):
    weight = next(torch.jit.load(str(model)).parameters())
    return weight.shape[1], 2, 2
