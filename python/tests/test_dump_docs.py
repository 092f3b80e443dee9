"""The session of docs/dump.md, as it stands there."""

import os
import subprocess
import sys
from pathlib import Path
from typing import List, Tuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = os.environ.get("FQAT_OPT", "")
pytestmark = pytest.mark.skipif(not PROGRAM, reason="FQAT_OPT does not name the programs")


def read_session(text: str) -> List[Tuple[str, List[str]]]:
    """Returns the commands, each with the lines that it prints."""
    session: List[Tuple[str, List[str]]] = []
    lines = text.splitlines()
    for i, line in enumerate(lines):
        if line.startswith("    $ "):
            session.append((line[6:], []))
        elif line.startswith("    ") and session:
            session[-1][1].append(line[4:])
        elif line or not lines[i + 1 : i + 2] or not lines[i + 1].startswith("    "):
            if session and line:
                session.append(("", []))  # the text goes on
        elif session and session[-1][0]:
            session[-1][1].append("")
    return [(command, printed) for command, printed in session if command]


def test_session(tmp_path: Path) -> None:
    (tmp_path / "python").symlink_to(ROOT / "python")
    paths = [os.path.dirname(PROGRAM), os.environ["PATH"]]
    folder = str(tmp_path)
    session = read_session((ROOT / "docs" / "dump.md").read_text(encoding="utf-8"))
    assert len(session) > 10
    for command, printed in session:
        if command.startswith("cd "):
            folder = os.path.join(folder, command[3:])
            continue
        done = subprocess.run(
            command.replace("python ", sys.executable + " ", 1),
            shell=True,
            cwd=folder,
            env={**os.environ, "PATH": os.pathsep.join(paths)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            universal_newlines=True,
            check=False,
        )
        assert done.stdout.rstrip() == "\n".join(printed).rstrip(), command
