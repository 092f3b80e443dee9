"""Options, exit codes, and what is written where."""

import os
import resource
import stat
import subprocess
import zipfile
from pathlib import Path

import pytest
import torch
from conftest import assert_equivalent, records
from torch import nn

X = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))


MODULE = 'module attributes {test.text = "' + "[" * 1000 + '"} {'


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)

    def forward(self, x):
        return self.conv(x).sigmoid()


@pytest.fixture
def model(tool):
    return tool.trace(Net().eval(), X)


def test_default_output_lies_beside_the_input(tool, model):
    result = tool.run(model)
    assert "1 anchors, 1 crossing values; 1 out_nops put in" in result.stderr
    assert "wrote" in result.stderr and result.stdout == ""
    assert_equivalent(model, model.with_name("model.fqat.pt"), (X,))


def test_in_place(tool, model, tmp_path):
    original = tmp_path / "original.pt"
    original.write_bytes(model.read_bytes())
    tool.run(model, "-o", model)
    assert_equivalent(original, model, (X,))
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["model.pt", "original.pt"]


def test_bytes_do_not_depend_on_names(tool, model, tmp_path):
    (tmp_path / "sub").mkdir()
    tool.run(model, "-o", tmp_path / "a.pt")
    tool.run(model, "-o", tmp_path / "sub" / "another name.pt")
    assert (tmp_path / "a.pt").read_bytes() == (tmp_path / "sub" / "another name.pt").read_bytes()


def test_several_inputs_need_a_folder(tool, model, tmp_path):
    other = tool.trace(Net().eval(), X, name="other.pt")
    tool.run(model, other, "-o", tmp_path / "file.pt", expect=2)
    folder = tmp_path / "out"
    folder.mkdir()
    tool.run(model, other, "-o", folder)
    assert sorted(path.name for path in folder.iterdir()) == ["model.fqat.pt", "other.fqat.pt"]


def test_check_writes_nothing(tool, model, tmp_path):
    result = tool.run("--check", model, expect=1)
    assert "[fqat-r1]" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["model.pt"]


def test_quiet_and_none(tool, model, tmp_path):
    result = tool.run(model, "-q", "--emit", "none")
    assert result.stderr == "" and result.stdout == ""
    assert [path.name for path in tmp_path.iterdir()] == ["model.pt"]


def test_mlir_goes_through(tool, model, tmp_path):
    text = tmp_path / "model.mlir"
    tool.run(model, "-o", text, "--pass-pipeline", "builtin.module()")
    output = tmp_path / "back.pt"
    tool.run(text, "-o", output)
    assert_equivalent(model, output, (X,))


def test_elided_weights_are_an_error_on_the_way_back(tool, model, tmp_path):
    text = tmp_path / "model.mlir"
    tool.run(model, "-o", text, "--elide-weights")
    result = tool.run(text, "-o", tmp_path / "back.pt", expect=2)
    assert "the bytes are missing" in result.stderr
    assert not (tmp_path / "back.pt").exists()


def test_nop_name(tool, model):
    state = torch.jit.load(str(tool.fix(model, "--nop-name", "quant_out")))
    assert [name for name, _ in state.named_modules()] == ["", "conv", "quant_out"]


def test_exclude_and_anchors(tool, model):
    for option in (("--exclude", "conv"), ("--anchors", "linear")):
        assert "0 out_nops put in" in tool.run(model, "--emit", "none", *option).stderr


def test_extra_files_and_inputs_are_carried(tool, tmp_path):
    path = tmp_path / "model.pt"
    traced = torch.jit.trace(Net().eval(), X)
    torch.jit.save(traced, str(path), _extra_files={"notes.txt": b"\x00\xffhello"})
    before, after = records(path), records(tool.fix(path))
    assert after["extra/notes.txt"] == b"\x00\xffhello"
    assert before["traced_inputs.pkl"] == after["traced_inputs.pkl"]


def test_rezipped_archives_are_read(tool, model, tmp_path):
    # Other zip tools deflate everything and align nothing.
    for method in (zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED):
        path = tmp_path / "rezipped.pt"
        with zipfile.ZipFile(model) as old, zipfile.ZipFile(path, "w", method) as new:
            for name in reversed(old.namelist()):
                new.writestr(name, old.read(name))
        assert_equivalent(model, tool.fix(path), (X,))


@pytest.mark.parametrize(
    "arguments",
    [[], ["--emit", "onnx"], ["--clone-params", "both"], ["--anchors", "pool"], ["--unknown"]],
    ids=lambda a: " ".join(a) or "none",
)
def test_usage_errors(tool, model, arguments):
    inputs = [model] if arguments else []
    tool.run(*inputs, *arguments, expect=2)


def test_bad_pipeline(tool, model):
    tool.run(model, "--pass-pipeline", "builtin.module(no-such-pass)", expect=2)
    tool.run(model, "--pass-pipeline", "fqat.method()", expect=2)


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (None, "cannot open the file"),
        (b"", "the file is empty"),
        (b"not a zip", "no zip archive"),
        ("state_dict", "a file of torch.save"),
        ("truncated", "no zip archive"),
    ],
    ids=["missing", "empty", "text", "state_dict", "truncated"],
)
def test_unreadable_inputs(tool, model, tmp_path, contents, message):
    path = tmp_path / "bad.pt"
    output = tmp_path / "out.pt"
    output.write_text("old")
    if contents == "state_dict":
        torch.save(Net().state_dict(), path)
    elif contents == "truncated":
        path.write_bytes(model.read_bytes()[:-100])
    elif contents is not None:
        path.write_bytes(contents)
    result = tool.run(path, "-o", output, expect=2)
    assert message in result.stderr and result.stderr.count("\n") == 1
    assert output.read_text() == "old"


def test_pipes_devices_and_links_stay_what_they_are(tool, model, tmp_path):
    tool.run(model, "-q", "-o", tmp_path / "file.pt")
    expected = (tmp_path / "file.pt").read_bytes()
    pipe, link, target = (tmp_path / name for name in ("pipe", "link.pt", "target.pt"))
    os.mkfifo(pipe)
    with subprocess.Popen(["cat", pipe], stdout=subprocess.PIPE) as reader:
        tool.run(model, "-q", "-o", pipe)
        assert reader.communicate()[0] == expected
    assert pipe.is_fifo()
    target.write_bytes(b"old")
    link.symlink_to(target)
    tool.run(model, "-q", "-o", link)
    assert link.is_symlink() and target.read_bytes() == expected
    # Root could put a file in its place.
    device = tmp_path / "full"
    device.symlink_to("/dev/full")
    assert "No space left" in tool.run(model, "-q", "-o", device, expect=2).stderr
    assert Path("/dev/full").is_char_device()


@pytest.mark.parametrize("arguments", [["-o", "out.pt"], ["--emit", "python", "-o", "out"]])
def test_file_size_limit_is_an_error(tool, tmp_path, monkeypatch, arguments):
    monkeypatch.chdir(tmp_path)
    path = tool.trace(nn.Conv2d(64, 64, 3).eval(), torch.zeros(1, 64, 8, 8))
    before = sorted(os.listdir("."))
    done = subprocess.run(
        [tool.program, path, "-q", *arguments],
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)),
    )
    assert done.returncode == 2 and "File too large" in done.stderr
    assert sorted(os.listdir(".")) == before


@pytest.mark.parametrize("text", ["(" * 100000, "module {" * 20000, '"a"() {b = ' + "[" * 100000])
def test_brackets_without_end_are_refused(tool, model, tmp_path, text):
    (tmp_path / "deep.mlir").write_text("// [[[\n" + text)
    result = tool.run(tmp_path / "deep.mlir", "-q", expect=2)
    assert "deep.mlir: error: line 2: more than 256 brackets" in result.stderr
    (tmp_path / "deep.json").write_text("[" * 100000)
    result = tool.run("--check", model, "--baseline", tmp_path / "deep.json", expect=2)
    assert "more than 256 brackets" in result.stderr


def test_brackets_in_strings_and_comments_do_not_count(tool, model, tmp_path):
    tool.run(model, "-q", "-o", tmp_path / "model.mlir")
    text = (tmp_path / "model.mlir").read_text()
    text = "// " + "[" * 1000 + "\n" + text.replace("module {", MODULE, 1)
    (tmp_path / "more.mlir").write_text(text)
    tool.run(tmp_path / "more.mlir", "-q", "-o", tmp_path / "more.pt")


def test_unwritable_outputs(tool, model, tmp_path):
    tool.run(model, "-o", tmp_path / "missing" / "out.pt", expect=2)
    if os.geteuid() != 0:
        folder = tmp_path / "locked"
        folder.mkdir()
        folder.chmod(stat.S_IRUSR | stat.S_IXUSR)
        tool.run(model, "-o", folder / "out.pt", expect=2)
    result = subprocess.run(
        f"{tool.program} {model} --emit mlir > /dev/full",
        shell=True,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 2 and "No space left" in result.stderr


class SharedNorm(nn.Module):
    def __init__(self):
        super().__init__()
        self.bn = nn.BatchNorm2d(3)

    def forward(self, x):
        return self.bn(self.bn(x))


def test_rule_that_cannot_be_met(tool, tmp_path):
    # Traced in training mode: each copy would see half of the updates.
    path = tool.trace(SharedNorm().train(), X)
    output = tmp_path / "out.pt"
    result = tool.run(path, "-o", output, expect=3)
    assert "--clone-params=share" in result.stderr and "[R4]" in result.stderr
    assert not output.exists()
    assert_equivalent(path, tool.fix(path, "--clone-params", "share"), (X,))


def test_version(tool):
    text = tool.run("--version").stdout
    assert "fqat-opt" in text and "MLIR 22" in text and torch.__version__.split("+")[0] in text
