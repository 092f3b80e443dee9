"""A hook of mkdocs (see mkdocs.yml): pages that are not in docs/, and links that lead out of it.

The programs tell their own options, TableGen the dialect and the passes, docstrings the Python
package: nothing of that is checked in. FQAT_OPT names the program (its sisters lie beside it),
MLIR_DIR where LLVM's TableGen is.
"""

import os
import posixpath
import re
import subprocess
import sys
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
PROGRAMS = Path(os.environ.get("FQAT_OPT") or ROOT / "build" / "bin" / "fqat-opt").parent
LLVM = Path(os.environ.get("MLIR_DIR") or "/usr/lib/llvm-22/lib/cmake/mlir").parents[2]
# Pages of the site that lie elsewhere in the repository.
ELSEWHERE = {"overview.md": "README.md", "contributing.md": "CONTRIBUTING.md"}
LINK = re.compile(r"(?<=\]\()[^)\s#]+")

PYTHON = """# The Python package

What `import fqat` gives. [Before training, in Python](../python.md) tells how it is used.

"""
MODULES = ["dump", "ema", "live"]
NAMES = ["prepare", "check", "fix", "Finding", "Place", "FqatError"]


def run(*command: str | Path) -> str:
    """Return what a command prints."""
    try:
        done = subprocess.run(
            list(map(str, command)),
            capture_output=True,
            text=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT / "python"), "COLUMNS": "100"},
            check=False,
        )
    except OSError as error:
        raise PluginError(f"no {command[0]}; `make docs` makes and finds it: {error}") from error
    if done.returncode:
        raise PluginError(f"{' '.join(map(str, command))}: {done.stderr}")
    return done.stdout


def show_help(*command: str | Path) -> str:
    """Return a block with the help of a command."""
    return "```text\n" + run(*command, "--help").rstrip() + "\n```\n"


def describe_fqat_opt() -> str:
    """Return the page of fqat-opt: its options and its rules."""
    program = PROGRAMS / "fqat-opt"
    parts = ["# fqat-opt\n\nWhat `fqat-opt --help` prints:\n", show_help(program)]
    parts.append("What `fqat-opt --explain` prints of each rule:\n")
    for rule in ("R1", "R2", "R3", "R4", "R5"):
        parts.append("## " + run(program, "--explain", rule))
    return "\n".join(parts)


def describe_fqat_dump() -> str:
    """Return the page of fqat-dump and its subcommands."""
    program = PROGRAMS / "fqat-dump"
    text = run(program, "--help")
    parts = ["# fqat-dump\n\nWhat `fqat-dump --help` prints, and each command's own help.\n"]
    parts.append(show_help(program))
    for command in re.findall(r"^  ([a-z]\S*)", text.partition("Subcommands:")[2], re.MULTILINE):
        parts += [f"## {command}\n", show_help(program, command)]
    return "\n".join(parts)


def describe_tablegen(file: str, *action: str) -> str:
    """Return what TableGen says of a file in dialect/."""
    includes = [f"-I{ROOT / 'dialect'}", f"-I{LLVM / 'include'}"]
    text = run(LLVM / "bin" / "mlir-tblgen", *action, *includes, ROOT / "dialect" / file)
    text = text.replace("[TOC]\n", "").partition("-->\n")[2]
    # Of the parts of an op or a pass, none is worth a line in the table of contents.
    text = re.sub(r"^#### (.*)$", r"**\1**", text, flags=re.MULTILINE)
    return re.sub(r"^(### `\S+`) \(::(\S+)\)$", r"\1\n\nC++: `\2`", text, flags=re.MULTILINE)


def make_pages() -> dict[str, str]:
    """Return the generated pages by their names."""
    passes = describe_tablegen("fqat/Transforms/Passes.td", "-gen-pass-doc")
    schema = (ROOT / "docs" / "report.schema.json").read_text(encoding="utf-8")
    return {
        "reference/fqat-opt.md": describe_fqat_opt(),
        "reference/fqat-dump.md": describe_fqat_dump(),
        "reference/fqat-lint.md": "# fqat lint\n\nWhat `python -m fqat lint --help` prints.\n\n"
        + show_help(sys.executable, "-m", "fqat", "lint"),
        "reference/python.md": PYTHON + "\n\n".join(f"::: fqat.{name}" for name in NAMES + MODULES),
        "reference/report.md": "# Reports\n\nThe JSON schema of `--report FILE.json`, "
        f"[to download](../report.schema.json).\n\n```json\n{schema}```\n",
        "reference/dialect.md": describe_tablegen(
            "fqat/IR/FQATOps.td", "-gen-dialect-doc", "-dialect=fqat"
        ),
        "reference/passes.md": "# Passes\n\n[Design](../design.md#passes) tells in which order "
        "`fqat-opt` runs them.\n\n" + passes.replace("### `-", "## `--"),
    }


def find_target(link: str, source: str) -> str:
    """Return where a link leads in the site.

    Args:
        link: As it stands on a page, without an anchor.
        source: The page, as a path in the repository.
    """
    target = posixpath.normpath(posixpath.join(posixpath.dirname(source), link))
    if target.startswith("docs/"):
        return target[len("docs/") :]
    for name, page in ELSEWHERE.items():
        if target == page:
            return name
    return "files/" + target if (ROOT / target).is_file() else link


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages, those that lie elsewhere, and the files that pages link to."""
    for name, text in make_pages().items():
        files.append(File.generated(config, name, content=text))
    for name, page in ELSEWHERE.items():
        files.append(File.generated(config, name, abs_src_path=str(ROOT / page)))
    linked = set()
    for source in [*ELSEWHERE.values(), *(f"docs/{p.name}" for p in (ROOT / "docs").glob("*.md"))]:
        for link in LINK.findall((ROOT / source).read_text(encoding="utf-8")):
            linked.add(find_target(link, source))
    for name in sorted(linked):
        if name.startswith("files/"):
            path = str(ROOT / name.partition("/")[2])
            files.append(File.generated(config, name, abs_src_path=path))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links as they are in the repository into links of the site."""
    if page.file.src_uri.startswith("reference/"):
        return markdown
    source = ELSEWHERE.get(page.file.src_uri, "docs/" + page.file.src_uri)
    return LINK.sub(lambda match: find_target(match[0], source), markdown)
