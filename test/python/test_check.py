"""What `--check` says, and the reports of checks and fixes."""

import json
import re
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import rules
import torch
from conftest import ROOT, SHARED_MODELS
from torch import nn

SCHEMA = json.loads((ROOT / "docs" / "report.schema.json").read_text())
SARIF = json.loads((Path(__file__).parent / "sarif_required.schema.json").read_text())
MODELS = sorted(p for p in SHARED_MODELS.glob("*.pt") if not p.name.endswith(".inputs.pt"))
needs_models = pytest.mark.skipif(not MODELS, reason=f"no models in {SHARED_MODELS}")


class Block(nn.Module):
    """A block whose activation is a class attribute."""

    act = nn.SiLU()

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 1)
        self.act = self.act

    def forward(self, x):
        return self.act(self.conv(x))  # the line of R4


class Net(nn.Module):
    """Four blocks with one activation, an output without a nop, a conv that runs twice."""

    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList(Block() for _ in range(6))
        self.conv = nn.Conv2d(4, 4, 1)

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        x = self.conv(x)
        x = self.conv(x)  # the line of R1
        return torch.sigmoid(x)


def line_of(comment: str) -> int:
    lines = Path(__file__).read_text().splitlines()
    return next(i for i, line in enumerate(lines, 1) if line.endswith(f"# {comment}"))


@pytest.fixture
def model(tool) -> Path:
    return tool.trace(Net().eval(), (torch.randn(1, 4, 8, 8),))


def read_report(path: Path) -> dict:
    report = json.loads(path.read_text())
    jsonschema.Draft202012Validator(SCHEMA).validate(report)
    return report


def read_sarif(path: Path) -> dict:
    sarif = json.loads(path.read_text())
    jsonschema.Draft202012Validator(SARIF).validate(sarif)
    names = [rule["id"] for rule in sarif["runs"][0]["tool"]["driver"]["rules"]]
    for result in sarif["runs"][0]["results"]:
        assert names[result["ruleIndex"]] == result["ruleId"]
    return sarif


# Diagnostics --------------------------------------------------------------------------------------


def test_readme_shows_what_check_prints(tool):
    example = ROOT / "python" / "examples" / "fix_a_detector.py"
    command = [sys.executable, example, "--fqat-opt", tool.program, "--out", tool.folder]
    subprocess.run(command, check=True, capture_output=True)
    printed = tool.run("--check", tool.folder / "detector.pt", expect=1).stderr
    printed = printed.replace(f"{ROOT}/", "").replace(f"{tool.folder}/", "build/example/")
    readme = (ROOT / "README.md").read_text()
    command = "    $ build/bin/fqat-opt --check build/example/detector.pt\n"
    assert readme.count(command) == 1
    shown = []
    for line in readme.split(command)[1].splitlines():
        if line and not line.startswith("    "):
            break
        shown.append(line.removeprefix("    "))
    assert "\n".join(shown).strip() == printed.strip()


def test_one_shared_activation_is_one_finding(tool, model):
    lines = tool.run("--check", model, expect=1).stderr.splitlines()
    found = [line for line in lines if "[fqat-r4]" in line]
    assert len(found) == 2, found
    assert found[0].startswith(f"{__file__}:{line_of('the line of R4')}: error: R4 called once: ")
    assert re.search(
        r"blocks\.\d\.act \(SiLU\) is called 6 times: one SiLU object is shared by 6 Block blocks "
        r"\(a class attribute\?\) \[fqat-r4\]$",
        found[0],
    )
    at = lines.index(found[0])
    source = "        return self.act(self.conv(x))  # the line of R4"
    assert lines[at + 1] == f"{line_of('the line of R4'):5} | {source}"
    assert lines[at + 2] == "      | " + " " * source.index("self.act") + "^~~~~~~~"
    assert (
        lines[at + 3] == "      help: give each block its own in __init__: self.act = nn.SiLU(...)"
    )
    # Two of the five others are shown, and how many more there are.
    assert re.fullmatch(r".*: note: it is called by blocks\.\d \(Block\)", lines[at + 4])
    assert re.fullmatch(r".*: note: it is called by blocks\.\d \(Block\)", lines[at + 5])
    assert lines[at + 6] == "note: and 3 more"


def test_blocks_of_one_class_that_repeat_a_call_are_one_finding(tool):
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(4, 4, 1)
            self.relu = nn.ReLU()

        def forward(self, x):
            return self.relu(self.relu(self.conv(x)))

    path = tool.trace(nn.Sequential(Twice(), Twice(), Twice()).eval(), (torch.randn(1, 4, 8, 8),))
    printed = tool.run("--check", path, expect=1).stderr
    assert printed.count("[fqat-r4]") == 1
    assert "0.relu (ReLU) is called 2 times by 0 (Twice) [fqat-r4]" in printed
    assert "help: make a module for each call in __init__: self.relu, self.relu1, ..." in printed
    assert "note: so is 1.relu (ReLU)" in printed


def test_a_value_of_a_shared_module_is_its_callers(tool):
    class Last(nn.Module):
        def __init__(self):
            super().__init__()
            self.blocks = nn.ModuleList(Block() for _ in range(2))

        def forward(self, x):
            return [block(x) for block in self.blocks]

    path = tool.trace(Last().eval(), (torch.randn(1, 4, 8, 8),))
    printed = tool.run("--check", path, expect=1).stderr
    # The one object is the second block's.
    assert "'silu' in blocks.0 (Block) leaves the quantised region" in printed
    assert "'silu' in blocks.1.act (SiLU) leaves the quantised region" in printed


def test_lines_of_the_files_own_code(tool, model):
    # Without records of the Python lines, the code in the file is shown.
    import zipfile

    stripped = model.with_name("stripped.pt")
    with zipfile.ZipFile(model) as source, zipfile.ZipFile(stripped, "w") as target:
        for item in source.infolist():
            if not item.filename.endswith(".debug_pkl"):
                target.writestr(item, source.read(item))
    lines = tool.run("--check", stripped, expect=1).stderr.splitlines()
    at = next(i for i, line in enumerate(lines) if "[fqat-r1]" in line)
    name, number = re.match(r"(code/__torch__/\S+\.py):(\d+): error: ", lines[at]).groups()
    with zipfile.ZipFile(stripped) as archive:
        entry = next(n for n in archive.namelist() if n.endswith(name))
        code = archive.read(entry).decode().splitlines()
    assert lines[at + 1] == f"{int(number):5} | {code[int(number) - 1]}"


def test_source_files_that_are_gone_or_devices(tool, model):
    moved = tool.folder / "moved.py"
    moved.write_text(Path(__file__).read_text())
    text = model.read_bytes()
    same_length = ("/" * (len(__file__) - len("/dev/zero"))) + "/dev/zero"
    for name in (same_length, "x" * len(__file__)):
        path = tool.folder / "other.pt"
        import zipfile

        with zipfile.ZipFile(model) as source, zipfile.ZipFile(path, "w") as target:
            for item in source.infolist():
                data = source.read(item).replace(__file__.encode(), name.encode())
                target.writestr(item, data)
        printed = tool.run("--check", path, expect=1).stderr
        assert f"{name}:" in printed and " | " not in printed
    assert model.read_bytes() == text


def test_colours(tool, model):
    plain = tool.run("--check", model, expect=1).stderr
    assert "\x1b[" not in plain
    coloured = tool.run("--check", "--color=always", model, expect=1).stderr
    assert "\x1b[0;1;31merror: \x1b[0m" in coloured
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == plain


def test_notes_do_not_fail(tool):
    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1)

        def forward(self, x):
            return self.a(x), self.b(x)

    path = tool.trace(Shared().eval(), (torch.randn(1, 4, 8, 8),))
    fixed = tool.fix(path, "--nop-instances", "owner")
    result = tool.run("--check", fixed)
    assert "note: R4 called once: out_nop (OutNop) is called 2 times" in result.stderr
    assert result.stderr.endswith(": no findings, 1 note\n")
    assert tool.run("--check", "-q", fixed).stderr == ""


def test_explain(tool):
    for rule in ("R1", "R2", "R3", "R4", "R5"):
        text = tool.run("--explain", rule).stdout
        assert text.startswith(f"{rule} ") and f"[fqat-{rule.lower()}]" in text
        assert max(map(len, text.splitlines())) <= 100
        assert tool.run("--explain", f"fqat-{rule.lower()}").stdout == text
    assert "there is no rule 'R9'" in tool.run("--explain", "R9", expect=2).stderr


# Suppressions -------------------------------------------------------------------------------------


def test_ignore(tool, model):
    all_lines = tool.run("--check", model, expect=1).stderr
    assert all_lines.endswith(": 3 errors\n")
    result = tool.run("--check", model, "--ignore", "R4:blocks.*", expect=1)
    assert result.stderr.endswith(": 2 errors, 1 suppressed\n")
    assert "blocks" not in result.stderr
    result = tool.run("--check", model, "--ignore", "R4", "--ignore", "fqat-r1:conv")
    assert result.stderr.endswith(": no findings, 3 suppressed\n")
    result = tool.run("--check", model, "--ignore", "R4,R1")
    assert result.stderr.endswith(": no findings, 3 suppressed\n")
    result = tool.run("--check", model, "--ignore", "R3:detect.*", expect=1)
    assert "warning: --ignore R3:detect.* matches no finding" in result.stderr
    assert "no rule 'X'" in tool.run("--check", model, "--ignore", "X", expect=2).stderr
    assert "bad glob" in tool.run("--check", model, "--ignore", "R1:[", expect=2).stderr


def test_baseline(tool, model):
    known = tool.folder / "known.json"
    tool.run("--check", model, "--report", known, expect=1)
    result = tool.run("--check", model, "--baseline", known)
    assert result.stderr.endswith(": no findings, 3 suppressed\n")

    # One more mistake shows; and one that was mended is told.
    class More(Net):
        def forward(self, x):
            for block in self.blocks:
                x = block(x)
            return torch.sigmoid(self.conv(x)), torch.exp(self.blocks[0].conv(x))

    other = tool.trace(More().eval(), (torch.randn(1, 4, 8, 8),), "other.pt")
    report = tool.folder / "report.json"
    result = tool.run("--check", other, "--baseline", known, "--report", report, expect=1)
    shown = [f for f in read_report(report)["findings"] if f["suppressed"] is None]
    assert {f["instance"] for f in shown} == {"blocks.0.conv"}
    assert "note: 1 findings of the baseline are gone" in result.stderr

    for text, message in (
        ("{", "known.json"),
        ("[]", "no report"),
        ('{"findings": [1]}', "no fin"),
    ):
        known.write_text(text)
        assert message in tool.run("--check", model, "--baseline", known, expect=2).stderr
    assert "No such file" in tool.run("--check", model, "--baseline", "no", expect=2).stderr


# Reports ------------------------------------------------------------------------------------------


def test_reports_of_a_check(tool, model):
    path, sarif = tool.folder / "r.json", tool.folder / "r.sarif"
    tool.run("--check", model, "--report", path, "--report", sarif, "--ignore", "R1", expect=1)
    report = read_report(path)
    assert [f["rule"] for f in report["findings"]] == ["R1", "R4", "R4"]
    assert report["changes"] == [] and report["proved"] is None
    assert report["models"][0]["exit_code"] == 1 and report["models"][0]["output"] is None
    shared = report["findings"][1]
    assert shared["file"] == __file__ and shared["line"] == line_of("the line of R4")
    assert shared["kind"] == "shared-module" and len(shared["related"]) == 5
    assert shared["remedy"].startswith("give each block its own")
    run = read_sarif(sarif)["runs"][0]
    assert [r["ruleId"] for r in run["results"]] == ["fqat-r1", "fqat-r4", "fqat-r4"]
    assert run["results"][0]["suppressions"] and "suppressions" not in run["results"][1]
    region = run["results"][1]["locations"][0]["physicalLocation"]["region"]
    assert region["startLine"] == line_of("the line of R4")
    assert run["invocations"][0]["executionSuccessful"]


def test_sarif_names_files_from_the_folder_of_the_run(tool, model):
    sarif = tool.folder / "r.sarif"
    subprocess.run([tool.program, "--check", model, "--report", sarif, "-q"], cwd=ROOT, check=False)
    uris = [
        result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
        for result in read_sarif(sarif)["runs"][0]["results"]
    ]
    assert set(uris) == {str(Path(__file__).relative_to(ROOT))}
    tool.run("--check", model, "--report", sarif, expect=1)
    uri = read_sarif(sarif)["runs"][0]["results"][0]["locations"][0]["physicalLocation"]
    if not Path(__file__).is_relative_to(Path.cwd()):
        assert uri["artifactLocation"]["uri"] == f"file://{__file__}"


def test_reports_of_a_fix(tool, model):
    path, sarif = tool.folder / "r.json", tool.folder / "r.sarif"
    fixed = tool.fix(model, "--report", path, "--report", sarif)
    report = read_report(path)
    assert report["proved"] is True and report["models"][0]["output"] == str(fixed)
    assert len(report["findings"]) == 3, "what was wrong before"
    kinds = [change["kind"] for change in report["changes"]]
    assert kinds.count("nop") == 1 and kinds.count("clone") == 1 and kinds.count("twin") == 5
    clone = report["changes"][kinds.index("clone")]
    assert clone["instance"] == "conv1" and clone["file"] == __file__
    assert clone["message"] == "conv is cloned to conv1, for this call alone"
    nop = report["changes"][kinds.index("nop")]
    assert nop["instance"] == "out_nop" and nop["line"] == line_of("the line of R1")
    ids = [r["ruleId"] for r in read_sarif(sarif)["runs"][0]["results"]]
    assert ids.count("fqat-change-nop") == 1 and ids.count("fqat-change-twin") == 5
    # Unproved is not proved; what is written is not told from the report's being asked for.
    other = tool.fix(model, "--no-prove", "--report", path)
    assert read_report(path)["proved"] is None
    assert other.read_bytes() == tool.fix(model).read_bytes()


def test_report_of_a_fix_that_fails(tool):
    class Grow(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(4, 4, 1)

        def forward(self, x, n: int):
            for _ in range(n):
                x = self.conv(x)
            return x

    path = tool.folder / "grow.pt"
    torch.jit.script(Grow().eval()).save(str(path))
    report, sarif = tool.folder / "r.json", tool.folder / "r.sarif"
    tool.run(path, "--report", report, "--report", sarif, expect=3)
    told = read_report(report)
    assert told["models"][0]["exit_code"] == 3 and told["models"][0]["output"] is None
    assert told["models"][0]["errors"] and told["proved"] is None
    invocation = read_sarif(sarif)["runs"][0]["invocations"][0]
    assert not invocation["executionSuccessful"]
    assert invocation["toolExecutionNotifications"]


def test_report_that_cannot_be_written(tool, model):
    result = tool.run("--check", model, "--report", tool.folder / "no" / "r.json", expect=2)
    assert "No such file" in result.stderr
    result = tool.run("--check", model, "--report", "r.txt", expect=2)
    assert "a report is a .json, .sarif or .html file" in result.stderr


def test_model_that_cannot_be_followed_is_told_once(tool):
    path, page = tool.folder / "loop.mlir", tool.folder / "r.html"
    path.write_text(
        'fqat.module @"$" class "__torch__.Net" slots ["a"]\n'
        'fqat.module @a class "__torch__.A" slots []\n'
        'fqat.method @forward() attributes {instance = @"$"} {\n'
        "  fqat.call @a.forward() : () -> ()\n  fqat.return\n}\n"
        "fqat.method @a.forward() attributes {instance = @a} {\n"
        "  fqat.call @a.forward() : () -> ()\n  fqat.return\n}\n"
    )
    for arguments in (["--check"], ["-o", tool.folder / "out.mlir"]):
        code = 1 if "--check" in arguments else 3
        result = tool.run(*arguments, path, "--report", page, expect=code)
        assert result.stderr.count("error: ") == 1, result.stderr
        assert page.exists() and not (tool.folder / "out.mlir").exists()


# Several models -----------------------------------------------------------------------------------


def test_folder_of_models(tool, model):
    folder = tool.folder / "zoo" / "deep"
    folder.mkdir(parents=True)
    fixed = tool.fix(model)
    (folder / "a.pt").write_bytes(model.read_bytes())
    (folder.parent / "b.pt").write_bytes(fixed.read_bytes())
    torch.save((torch.zeros(1),), folder / "inputs.pt")
    (folder / "readme.txt").write_text("no model")
    report = tool.folder / "r.json"
    result = tool.run("--check", folder.parent, "--report", report, expect=1)
    lines = result.stderr.splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("model "))
    assert lines[at].split() == ["model", "R1", "R2", "R3", "R4", "R5", "result"]
    assert lines[at + 1].split() == [str(folder.parent / "b.pt"), *"-----", "clean"]
    assert lines[at + 2].split() == [str(folder / "a.pt"), "1", "-", "-", "2", "-", "3", "errors"]
    assert lines[at + 3] == "2 models: 1 clean, 1 with errors"
    assert lines[at + 4].startswith("note: 1 .pt files that hold no TorchScript")
    inputs = [m["input"] for m in read_report(report)["models"]]
    assert inputs == [str(folder.parent / "b.pt"), str(folder / "a.pt")]

    # A model that cannot be read does not keep the others from being checked.
    broken = tool.folder / "broken.pt"
    broken.write_bytes(model.read_bytes()[:200])
    result = tool.run("--check", broken, folder, expect=2)
    assert "2 models: 0 clean, 1 with errors, 1 not checked" in result.stderr
    empty = tool.folder / "empty"
    empty.mkdir()
    assert "no model in this folder" in tool.run("--check", empty, expect=2).stderr


def test_folder_is_fixed_once(tool, model):
    folder = tool.folder / "zoo"
    folder.mkdir()
    for name in ("a.pt", "b.pt"):
        (folder / name).write_bytes(model.read_bytes())
    for _ in range(2):
        tool.run(folder)
        assert sorted(p.name for p in folder.iterdir()) == [
            "a.fqat.pt",
            "a.pt",
            "b.fqat.pt",
            "b.pt",
        ]
    tool.run("--check", folder / "a.fqat.pt", folder / "b.fqat.pt")


def test_two_inputs_are_not_written_to_one_file(tool, model):
    folder = tool.folder / "zoo"
    folder.mkdir()
    (folder / model.name).write_bytes(model.read_bytes())
    result = tool.run(model, folder, "-o", folder, expect=2)
    assert "another input would be written to" in result.stderr
    assert [p.name for p in folder.iterdir()] == [model.name]


@needs_models
def test_jobs_change_nothing(tool):
    reports, texts, files = [], [], []
    for jobs in (1, 4):
        report, folder = tool.folder / f"{jobs}.json", tool.folder / str(jobs)
        folder.mkdir()
        texts.append(tool.run("--check", *MODELS, "-j", jobs, expect=1).stderr)
        tool.run(*MODELS, "-j", jobs, "-q", "-o", folder, "--report", report)
        files.append({p.name: p.read_bytes() for p in folder.iterdir()})
        reports.append(read_report(report))
        for told in reports[-1]["models"]:
            told["output"] = Path(told["output"]).name
    assert texts[0] == texts[1]
    assert files[0] == files[1] and len(files[0]) == len(MODELS)
    assert reports[0] == reports[1]


def test_progress(tool, model):
    other = model.with_name("other.pt")
    other.write_bytes(model.read_bytes())
    command = [tool.program, "--check", "--progress", model, other]
    printed = subprocess.run(command, capture_output=True).stderr.decode()
    assert "\r[0/2] " in printed and "\r[1/2] " in printed
    assert "\r" not in tool.run("--check", model, other, expect=1).stderr


# The shared models --------------------------------------------------------------------------------


@needs_models
@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_shared_models_agree_with_the_rules(tool, path):
    """The check agrees with the second judge, which shares nothing with it."""
    before, after = tool.folder / "before.json", tool.folder / "after.json"
    sarif = tool.folder / "check.sarif"
    fixed = tool.folder / "fixed.pt"
    tool.run(path, "-o", fixed, "-q", "--report", after, "--report", sarif)
    assert read_report(after)["proved"] is True
    read_sarif(sarif)
    for file, report in ((path, before), (fixed, after)):
        result = subprocess.run(
            [tool.program, "--check", file, "-q", "--report", report, "--report", sarif],
            capture_output=True,
            text=True,
        )
        read_report(report)
        read_sarif(sarif)
        findings = rules.check(file)
        assert result.returncode == bool(findings), findings
    assert result.returncode == 0


# Help ---------------------------------------------------------------------------------------------


def test_help_has_80_columns(tool):
    text = tool.run("--help").stdout
    assert max(map(len, text.splitlines())) <= 80
    assert "\n\n\n" not in text
    groups = re.findall(r"^(\w+):$", text, re.MULTILINE)
    assert groups == ["Positionals", "Output", "Check", "Model", "Proof", "Program"]
