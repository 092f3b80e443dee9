"""The pages: what they show runs as it stands, their links lead somewhere, they make a site."""

import importlib.util
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Iterator, List, NamedTuple, Set

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = os.environ.get("FQAT_OPT", "")
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
needs_programs = pytest.mark.skipif(not PROGRAM, reason="FQAT_OPT does not name the programs")

# Makes the files that the commands of the pages take for granted.
PREPARATION = r"""
python python/examples/fix_a_detector.py --fqat-opt build/bin/fqat-opt --out build/example
cp build/example/detector.pt model.pt
cp model.pt a.pt
mkdir models
cp model.pt python/examples/fix_a_detector.py models
fqat-opt model.pt --emit mlir --pass-pipeline='builtin.module()' -o model.mlir
fqat-opt model.pt -o fixed.mlir
python python/examples/make_dumps.py
sed 's/}/, board-type: u4}/' map.yaml > layers.yaml
fqat-dump unpack4 board/conv2.bin features.npy --shape 1,16,12,20
head -c 409600 /dev/zero > kit.bin
head -c 51200 /dev/zero > board.bin
"""

# Commands that are shown and not run here, with the reason.
NOT_RUN = [
    (r"make \w", "builds, measures, or runs these very tests; `make test` and CI run them"),
    (r"pip install ", "builds the programs for minutes"),
    (r"fqat-opt \[options\]", "says how a command line looks"),
]

# Pages of which test/python/test_install.py runs all commands.
FOLLOWED_ELSEWHERE = ["embedding", "new-pass"]

COMMAND = re.compile(
    r"(\w+=\S+ )*(sudo|make|cmake|ctest|ninja|git|pip|apt|apt-get|lit-22|g?cc|[cg]\+\+|"
    r"clang\S*|cat|cp|cd|export|\S*python3?|\S*build/bin/\S+|\.\.?/\S+|fqat-\S+) \S"
)
# In a sentence or a table; what names no file is an option that is talked about.
INLINE_COMMAND = re.compile(r"`((?:build/bin/|fqat-)[\w-]+ [^`\n]*\.(?:pt|mlir)\b[^`\n]*)`")


class Block(NamedTuple):
    """Code on a page; `line` is the index of its first line there."""

    line: int
    language: str
    title: str
    lines: List[str]


class Step(NamedTuple):
    """A command with what it prints, or a file that the reader writes; `line` is that behind it."""

    line: int
    text: str
    printed: List[str]
    title: str = ""


class Result(NamedTuple):
    """What a step gave."""

    code: int
    output: str


def read_blocks(text: str) -> Iterator[Block]:
    """Yields the fenced and the indented blocks of a page."""
    lines = text.splitlines()
    i = 0
    while i < len(lines):
        start = i
        i += 1
        fence = re.match(r'```(\w*)(?: title="([^"]+)")?$', lines[start])
        if fence:
            while lines[i] != "```":
                i += 1
            yield Block(start + 1, fence[1], fence[2] or "", lines[start + 1 : i])
            i += 1
        elif lines[start].startswith("    ") and not lines[start - 1]:
            while i < len(lines) and (lines[i].startswith("    ") or not lines[i]):
                i += 1
            block = "\n".join(line[4:] for line in lines[start:i]).rstrip()
            yield Block(start, "", "", block.splitlines())


def read_session(text: str) -> List[Step]:
    """Returns what a reader does who follows a page: files to write, and commands at a prompt."""
    steps: List[Step] = []
    for block in read_blocks(text):
        if block.title:
            steps.append(Step(block.line, "\n".join(block.lines), [], block.title))
            continue
        is_session = False
        for i, line in enumerate(block.lines, block.line + 1):
            if line.startswith("$ "):
                steps.append(Step(i, line[2:], []))
                is_session = True
            elif is_session:
                steps[-1].printed.append(line)
    return steps


def read_loose_commands(text: str) -> List[str]:
    """Returns the commands of a page that stand at no prompt."""
    commands = []
    for block in read_blocks(text):
        if not block.title and block.language in ("", "sh", "bash", "console", "shell"):
            for line in block.lines:
                if line.startswith("$ "):
                    break  # the rest is a session
                if COMMAND.match(line):
                    commands.append(line)
    return commands + INLINE_COMMAND.findall(text)


def run_steps(steps: List[Step], folder: Path) -> List[Result]:
    """Runs steps in one shell, as a reader does, and returns what each gave."""
    script = ["exec 2>&1 < /dev/null"]
    for step in steps:
        if step.title:
            script.append("cat > {} <<'END'\n{}\nEND".format(shlex.quote(step.title), step.text))
        else:
            script.append(step.text)
        script.append(r"""printf '\036%s\037%s\036' $? "$PWD" """)
    path = folder / "session.sh"
    path.write_text("\n".join(script), encoding="utf-8")
    paths = [str(folder / ".venv" / "bin"), str(folder / "build" / "bin"), os.environ["PATH"]]
    environment = {"PATH": os.pathsep.join(paths), "PYTHONPATH": str(ROOT / "python")}
    done = subprocess.run(
        ["bash", str(path)],
        cwd=str(folder),
        # Small layers are slower in several threads.
        env={**os.environ, **environment, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        universal_newlines=True,
        check=False,
    )
    parts = done.stdout.split("\036")
    results = []
    for output, state in zip(parts[::2], parts[1::2]):
        code, _, current = state.partition("\037")
        results.append(Result(int(code), output.replace(current + "/", "")))
    assert len(results) == len(steps), done.stdout
    return results


def normalise(text: str) -> str:
    """Leaves out times, which are others at each run, and blanks at ends of lines."""
    return re.sub(r"\d+\.\d+ s\b", "TIME", re.sub(r" +$", "", text.rstrip(), flags=re.MULTILINE))


def make_workshop(folder: Path) -> Path:
    """Makes an empty folder look like the root of a repository that was built."""
    (folder / "python").symlink_to(ROOT / "python")
    (folder / "build").mkdir()
    (folder / "build" / "bin").symlink_to(os.path.dirname(os.path.abspath(PROGRAM)))
    programs = folder / ".venv" / "bin"
    programs.mkdir(parents=True)
    for name, program in (("python", sys.executable), ("less", "cat")):
        (programs / name).write_text('#!/bin/sh\nexec {} "$@"\n'.format(shlex.quote(program)))
        (programs / name).chmod(0o755)
    steps = [Step(0, command, []) for command in PREPARATION.strip().splitlines()]
    for step, result in zip(steps, run_steps(steps, folder)):
        assert result.code == 0, (step.text, result.output)
    return folder


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_workshop(tmp_path_factory.mktemp("workshop"))


def has_session(page: Path) -> bool:
    return any(not step.title for step in read_session(page.read_text(encoding="utf-8")))


@needs_programs
@pytest.mark.parametrize("page", [*filter(has_session, PAGES)], ids=lambda page: page.stem)
def test_session(page: Path, workshop: Path) -> None:
    steps = read_session(page.read_text(encoding="utf-8"))
    for step, result in zip(steps, run_steps(steps, workshop)):
        assert normalise(result.output) == normalise("\n".join(step.printed)), step.text


@needs_programs
def test_loose_commands_run(workshop: Path) -> None:
    steps = [
        Step(0, command, [page.name])
        for page in PAGES
        if page.stem not in FOLLOWED_ELSEWHERE
        for command in read_loose_commands(page.read_text(encoding="utf-8"))
        if not any(re.match(pattern, command) for pattern, _ in NOT_RUN)
    ]
    assert len(steps) > 20
    for step, result in zip(steps, run_steps(steps, workshop)):
        # 1: something was found, or is different.
        assert result.code in (0, 1), (step.printed, step.text, result.output)


# Links ----------------------------------------------------------------------------------------


def read_prose(page: Path) -> str:
    """Returns a page without its blocks of code."""
    lines = page.read_text(encoding="utf-8").splitlines()
    for block in read_blocks("\n".join(lines)):
        lines[block.line : block.line + len(block.lines)] = [""] * len(block.lines)
    return "\n".join(lines)


def read_anchors(page: Path) -> Set[str]:
    """Returns the anchors of a page's headings, as code hosts spell them."""
    headings = re.findall(r"^#+ (.*)$", read_prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`\n]*`", "", read_prose(page))):
        if "://" in link:
            assert re.match(r"https?://[\w.-]+\.\w+(/[\w./~%?=&#+-]*)?$", link), link
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists() and ROOT in target.parents, link
        assert not anchor or anchor in read_anchors(target), link


# The site -------------------------------------------------------------------------------------


@needs_programs
@pytest.mark.skipif(
    not importlib.util.find_spec("mkdocs"), reason="no mkdocs here; `make docs` installs it"
)
def test_site(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)],
        cwd=str(ROOT),
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        universal_newlines=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    pages = {str(path.relative_to(tmp_path)): path.read_text() for path in tmp_path.rglob("*.html")}
    assert "--clone-params" in pages["reference/fqat-opt.html"]
    assert "compare-dirs" in pages["reference/fqat-dump.html"]
    assert "fqat.out_nop" in pages["reference/dialect.html"]
    assert "fqat-hoist-tail" in pages["reference/passes.html"]
    assert "example_inputs" in pages["reference/python.html"]
    for name, page in pages.items():
        remote = re.search(r'<(script|link|img|iframe)\b[^>]*(src|href)="?(https?:)?//', page)
        assert not remote, (name, remote)
