"""``python -m fqat lint``: the command."""

import argparse
import difflib
import io
import json
import os
import shutil
import sys
import tempfile
import tokenize
from typing import Any, Dict, Iterator, List, Optional, Sequence

from fqat.findings import Finding
from fqat.lint import RULES, SourceError, fix_source, lint_source


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Run the command.

    Returns:
        0 if the files are clean, 1 if there are findings (after --fix: findings that are left), 2
        if a file cannot be read or written.
    """
    parser = argparse.ArgumentParser(
        prog="fqat lint", description="Find in Python source what breaks the rules of the kit."
    )
    parser.add_argument("paths", nargs="+", metavar="FILE_OR_FOLDER")
    parser.add_argument("--fix", action="store_true", help="write the files, mended")
    parser.add_argument("--diff", action="store_true", help="print what --fix would change")
    parser.add_argument(
        "--rule", type=_rules, default=RULES, metavar="R2,R4", help="look for these rules only"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)

    findings: List[Finding] = []
    diffs: List[str] = []
    failed = False
    for path in options.paths:
        try:
            files = list(_python_files(path))
        except OSError as error:
            failed = _fail(_explain(path, error))
            continue
        if not files:
            failed = _fail("{}: error: there are no Python files in it".format(path))
        for file in files:
            try:
                findings += _lint(file, options, diffs)
            except OSError as error:
                failed = _fail(_explain(file, error))
            except (SyntaxError, UnicodeError):
                failed = _fail("{}: error: its encoding is not known".format(file))
            except SourceError as error:
                failed = _fail(str(error))
    findings.sort(key=lambda finding: (finding.file or "", finding.line or 0, finding.rule))
    if options.json:
        report: Dict[str, Any] = {"findings": [_as_dict(finding) for finding in findings]}
        if options.fix or options.diff:
            report["diff"] = "".join(diffs)
        print(json.dumps(report, indent=2))
    else:
        for finding in findings:
            print(finding)
        sys.stdout.write("".join(diffs))
    return 2 if failed else 1 if findings else 0


def _rules(text: str) -> List[str]:
    rules = text.upper().split(",")
    for rule in rules:
        if rule not in RULES:
            raise argparse.ArgumentTypeError(
                "{!r} is no rule; there are {}".format(rule, ", ".join(RULES))
            )
    return rules


def _fail(line: str) -> bool:
    print(line, file=sys.stderr)
    return True


def _explain(path: str, error: OSError) -> str:
    return "{}: error: {}".format(path, error.strerror or error)


def _python_files(path: str) -> Iterator[str]:
    """The file itself, or the Python files in a folder and below; hidden folders are left out."""
    if not os.path.isdir(path):
        yield path
        return
    for folder, folders, files in os.walk(path):
        folders[:] = sorted(
            name for name in folders if not name.startswith(".") and name != "__pycache__"
        )
        for name in sorted(files):
            if name.endswith(".py"):
                yield os.path.join(folder, name)


def _lint(path: str, options: argparse.Namespace, diffs: List[str]) -> List[Finding]:
    """The findings in a file; what changes is appended to `diffs` and, for --fix, written."""
    with open(path, "rb") as stream:
        encoding, _ = tokenize.detect_encoding(stream.readline)
        stream.seek(0)
        data = stream.read()
    before = data.decode(encoding)
    found = lint_source(before, path, options.rule)
    if not options.fix and not options.diff:
        return found
    after, left = fix_source(before, path, options.rule)
    if after != before:
        diffs.append(_diff(path, before, after))
        if options.fix:
            _write(path, after.encode(encoding))
    return left if options.fix else found


def _diff(path: str, before: str, after: str) -> str:
    # Lines as Python has them; splitlines() also splits at form feeds.
    lines = difflib.unified_diff(
        list(io.StringIO(before, newline="")), list(io.StringIO(after, newline="")), path, path
    )
    return "".join(
        line if line.endswith(("\n", "\r")) else line + "\n\\ No newline at end of file\n"
        for line in lines
    )


def _write(path: str, data: bytes) -> None:
    """Replace a file at once, or not at all; a link stays one."""
    path = os.path.realpath(path)
    handle, temporary = tempfile.mkstemp(dir=os.path.dirname(path), suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
        shutil.copymode(path, temporary)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def _as_dict(finding: Finding) -> Dict[str, Any]:
    fields: Dict[str, Any] = dict(finding._asdict())
    fields["related"] = [dict(place._asdict()) for place in finding.related]
    return fields
