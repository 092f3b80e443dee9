"""Finds and runs the programs fqat-opt and fqat-dump."""

import os
import shutil
import subprocess
import sys
from typing import List, Optional, Sequence

# Where a wheel has the programs.
_OWN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "bin")


class FqatError(RuntimeError):
    """What keeps a model from being read, fixed or proved.

    Attributes:
        exit_code: That of fqat-opt: 2 a file or an option that it cannot use, 3 a rule that
            cannot be met on this model, 4 a fix that is not shown to compute the same bits;
            None where the program did not run.
    """

    def __init__(self, message: str, exit_code: Optional[int] = None) -> None:
        """Make an error of a message and what the program returned."""
        super().__init__(message)
        self.exit_code = exit_code


def find_program(given: Optional[str] = None, name: str = "fqat-opt") -> str:
    """Return the path of a program.

    Args:
        given: A path that comes before all others.
        name: The program's.

    Returns:
        `given`, or else what the environment variable ``FQAT_OPT`` (``FQAT_DUMP``) names, the
        program on the ``PATH``, or the one that was installed with this package: the first that
        there is.

    Raises:
        FqatError: If there is none, or the one that was named is not there.
    """
    variable = name.upper().replace("-", "_")
    named = given or os.environ.get(variable)
    if named:
        found = shutil.which(named)
        if found is None:
            raise FqatError("there is no program '{}'".format(named))
        return found
    found = shutil.which(name) or shutil.which(os.path.join(_OWN, name))
    if found is None:
        raise FqatError(
            "the program {} is not installed; put it on the PATH, or name it in the "
            "environment variable {}".format(name, variable)
        )
    return found


def run_program(
    arguments: Sequence[str],
    program: Optional[str] = None,
    accepted: Sequence[int] = (0,),
    name: str = "fqat-opt",
) -> "subprocess.CompletedProcess[str]":
    """Run a program in a process of its own.

    Args:
        arguments: The command line.
        program: Its path, see `find_program`.
        accepted: The exit codes that are no error.
        name: See `find_program`.

    Returns:
        The process, with what it printed.

    Raises:
        FqatError: If the program returns anything else; the message is what it printed.
    """
    command: List[str] = [find_program(program, name)]
    command.extend(arguments)
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
    except OSError as error:
        raise FqatError("{} does not run: {}".format(command[0], error)) from error
    if done.returncode not in accepted:
        message = done.stderr.strip() or "{} ended with {}".format(name, done.returncode)
        raise FqatError(message, done.returncode)
    return done


def main() -> None:
    """Become the program of this command's name that was installed with this package."""
    program = os.path.join(_OWN, os.path.basename(sys.argv[0]))
    os.execv(program, [program] + sys.argv[1:])
