"""Bit widths by instance pattern: `--bits FILE`."""

import json

import jsonschema
import pytest
import torch
from conftest import ROOT, records
from torch import nn

SCHEMA = json.loads((ROOT / "docs" / "report.schema.json").read_text())


class Net(nn.Module):
    """A conv that runs twice, and a head of two layers."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 1)
        self.head = nn.ModuleDict({"box": nn.Conv2d(4, 4, 1), "cls": nn.Linear(8, 2)})

    def forward(self, x):
        x = self.conv(self.conv(x))
        return self.head["box"](x), self.head["cls"](x)


@pytest.fixture
def model(tool):
    return tool.trace(Net().eval(), (torch.randn(1, 4, 8, 8),))


@pytest.fixture
def bits(tool):
    path = tool.folder / "bits.yaml"

    def write(text):
        path.write_text(text)
        return path

    return write


def read_bits(path):
    """What a reader of the file finds."""
    files = {"fqat_bits.json": ""}
    torch.jit.load(str(path), _extra_files=files)
    return json.loads(files["fqat_bits.json"])


ALL = {
    "conv": {"feature": 10, "weight": 8},
    "conv1": {"feature": 10, "weight": 8},
    "head.box": {"feature": 12, "weight": 4},
    "head.cls": {"feature": 8, "weight": 4},
}
TEXT = """\
"*": {feature: 8, weight: 8}
head: {weight: 4}
conv: {feature: 10}
head.b*: {feature: 12}
"""


def test_bits_are_in_the_ir_the_report_and_the_file(tool, model, bits, filecheck):
    report = tool.folder / "r.json"
    fixed = tool.fix(model, "--bits", bits(TEXT), "--report", report)
    assert read_bits(fixed) == {"version": 1, "layers": ALL}
    told = json.loads(report.read_text())
    jsonschema.Draft202012Validator(SCHEMA).validate(told)
    layers = {
        layer["instance"]: {"feature": layer["feature"], "weight": layer["weight"]}
        for layer in told["layers"]
    }
    assert layers == ALL and told["proved"] is True
    assert told["layers"][0]["file"] == __file__
    filecheck(
        tool.emit_mlir(model, "--bits", bits(TEXT)),
        """
        CHECK: fqat.method @conv.forward
        CHECK: {fqat.bits = #fqat.bits<feature = 10, weight = 8>}
        CHECK: fqat.record "extra/fqat_bits.json"
        """,
    )
    text = tool.run(model, "--emit", "dot", "-q", "--bits", bits(TEXT)).stdout
    assert 'label="linear\\nfeature 8\\nweight 4"' in text


def test_bits_change_nothing_else(tool, model, bits):
    plain = records(tool.fix(model))
    wide = records(tool.fix(model, "--bits", bits(TEXT)))
    assert wide.pop("extra/fqat_bits.json")
    # A hash of all records.
    assert wide.pop(".data/serialization_id") != plain.pop(".data/serialization_id")
    assert wide == plain


def test_bits_stay_and_can_be_given_anew(tool, model, bits):
    fixed = tool.fix(model, "--bits", bits(TEXT))
    assert read_bits(tool.fix(fixed)) == {"version": 1, "layers": ALL}
    again = tool.fix(fixed, "--bits", bits("head.cls: {weight: 8}\n"))
    assert read_bits(again) == {"version": 1, "layers": {"head.cls": {"weight": 8}}}
    # Through IR as well.
    ir = tool.folder / "model.mlirbc"
    tool.run(model, "-o", ir, "--bits", bits(TEXT), "-q")
    assert records(tool.fix(ir)) == records(tool.fix(model, "--bits", bits(TEXT)))


def test_check_shows_what_bits_match(tool, model, bits):
    report = tool.folder / "r.json"
    text = TEXT + "detect.*: {feature: 4}\n"
    result = tool.run("--check", model, "--bits", bits(text), "--report", report, expect=1)
    lines = result.stderr.splitlines()
    assert lines[0] == f"{tool.folder}/bits.yaml:5: warning: 'detect.*' matches no layer"
    assert lines[1] == "    5 | detect.*: {feature: 4}"
    instances = [layer["instance"] for layer in json.loads(report.read_text())["layers"]]
    assert instances == ["conv", "head.box", "head.cls"]
    # Layers that are excluded have none.
    tool.run(
        "--check", model, "--bits", bits(text), "--report", report, "--anchors", "conv", expect=1
    )
    instances = [layer["instance"] for layer in json.loads(report.read_text())["layers"]]
    assert instances == ["conv", "head.box"]


@pytest.mark.parametrize(
    "line, message",
    [
        ("head: {feature: 9}", "feature bits are 4, 8, 10 or 12, not 9"),
        ("head: {weight: 10}", "weight bits are 4 or 8, not 10"),
        ("head: {weight: -4}", "weight bits are 4 or 8, not -4"),
        ("head: {weight: [4]}", "weight bits are 4 or 8"),
        ("head: {bits: 8}", "there are feature and weight bits"),
        ("head: {weight: 4, weight: 8}", "weight is given twice"),
        ("head: 8", "this needs {feature: BITS, weight: BITS}"),
        ("head: {}", "this gives neither feature nor weight bits"),
        ("*: {weight: 8}", "quote a glob that starts with *"),
        ("*.box: {weight: 8}", "quote a glob that starts with *"),
        ('"[": {weight: 8}', "bad glob '['"),
    ],
)
def test_errors_quote_the_line(tool, model, bits, line, message):
    output = tool.folder / "out.pt"
    result = tool.run(model, "-o", output, "--bits", bits(f"# bits\n{line}\n"), expect=2)
    lines = result.stderr.splitlines()
    assert lines[0].startswith(f"{tool.folder}/bits.yaml:2: error: {message}")
    assert lines[1] == f"    2 | {line}"
    assert not output.exists()


def test_files_that_are_no_mapping(tool, model, bits):
    for text in ("- head\n", "head\n", "a: {weight: 8\n", "a: {weight: 8}\n  b: c: d\n", "\t- %\n"):
        result = tool.run("--check", model, "--bits", bits(text), expect=2)
        assert "bits.yaml:" in result.stderr and ": error: " in result.stderr
    assert "No such file" in tool.run("--check", model, "--bits", "no.yaml", expect=2).stderr
    tool.run(model, "-o", tool.folder / "out.pt", "--bits", bits("# nothing\n"))


def test_extra_files_of_the_author_stay(tool, bits):
    path = tool.folder / "extra.pt"
    traced = torch.jit.trace(Net().eval(), (torch.randn(1, 4, 8, 8),))
    traced.save(str(path), _extra_files={"labels.txt": "a\nb\n"})
    fixed = tool.fix(path, "--bits", bits(TEXT))
    files = {"labels.txt": "", "fqat_bits.json": ""}
    torch.jit.load(str(fixed), _extra_files=files)
    assert (
        files["labels.txt"] in (b"a\nb\n", "a\nb\n")
        and json.loads(files["fqat_bits.json"])["layers"] == ALL
    )
