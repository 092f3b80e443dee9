"""The manual and the completion scripts: what they tell is what the program takes."""

import re
import shutil
import subprocess

import pytest


@pytest.fixture
def options(tool) -> set[str]:
    """Every option that the help shows."""
    return set(
        re.findall(
            r"(?<![\w-])--?[a-z][\w-]*",
            "".join(
                line[:28]
                for line in tool.run("--help").stdout.splitlines(keepends=True)
                if line.startswith("  -")
            ),
        )
    )


def test_man_page(tool, options):
    page = tool.run("--man").stdout
    assert page.startswith(".TH FQAT\\-OPT 1 ")
    for section in ("NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "RULES", "EXIT STATUS"):
        assert f"\n.SH {section}\n" in page
    plain = page.replace("\\-", "-")
    assert len(options) > 30
    for option in options:
        assert f"\\fB{option}\\fR" in plain, option


@pytest.mark.skipif(not shutil.which("groff"), reason="no groff here")
def test_man_page_is_right_roff(tool):
    page = tool.run("--man").stdout
    result = subprocess.run(
        ["groff", "-man", "-Tutf8", "-ww", "-z"], input=page, capture_output=True, text=True
    )
    assert result.returncode == 0 and result.stderr == ""


def complete(tool, *words: str) -> list[str]:
    """What bash offers for the last word; `=` is a word of its own, as in bash."""
    script = tool.folder / "completion.bash"
    script.write_text(tool.run("--completion", "bash").stdout)
    quoted = " ".join(f"'{word}'" for word in ("fqat-opt", *words))
    command = f"source '{script}'; COMP_WORDS=({quoted}); COMP_CWORD={len(words)}; _fqat_opt; "
    command += 'printf "%s\\n" "${COMPREPLY[@]}"'
    result = subprocess.run(
        ["bash", "-uc", command], cwd=tool.folder, capture_output=True, text=True, check=True
    )
    assert result.stderr == ""
    return result.stdout.split()


def test_bash_completion(tool, options):
    (tool.folder / "model.pt").touch()
    (tool.folder / "my bits.yaml").touch()
    assert set(complete(tool, "-")) == options
    assert complete(tool, "--clo") == ["--clone-params"]
    assert complete(tool, "--clone-params", "") == ["copy", "share"]
    assert complete(tool, "--color", "=", "al") == ["always"]
    assert complete(tool, "--color", "=") == ["auto", "always", "never"]
    assert complete(tool, "--explain", "") == ["R1", "R2", "R3", "R4", "R5"]
    assert complete(tool, "--emit", "m") == ["mlir"]
    assert complete(tool, "--bits", "my") == ["my", "bits.yaml"]
    assert complete(tool, "--nop-name", "") == []
    assert complete(tool, "--check", "mo") == ["model.pt"]
    assert complete(tool, "-o", "mo") == ["model.pt"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(tool, options, shell):
    script = tool.run("--completion", shell).stdout
    for option in options:
        spelling = option if shell != "fish" else re.sub("^--?", " -[ls] ", option)
        assert re.search(spelling + r"\b", script), option
    if not shutil.which(shell):
        pytest.skip(f"no {shell} here to read the script")
    subprocess.run([shell, "-n"], input=script, text=True, check=True)


def test_unknown_shell(tool):
    tool.run("--completion", "csh", expect=2)
