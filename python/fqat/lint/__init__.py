"""Finds in Python source what breaks the rules of the kit, and mends it.

Tracing cannot see all of it: a module object that classes share, a ``list()`` of constants, a
replaced ``forward``. What a fix changes is the structure of the model, not what it computes.
Modules that a fix adds have weights of their own, equal to those of the module that was called
twice: a checkpoint that was saved before has no values for them.

Needs libcst.
"""

from typing import Collection, List, Tuple

from fqat.findings import Finding
from fqat.lint import calls, entry, lists, nops, shared, tails
from fqat.lint.classes import Classes
from fqat.lint.source import Edit, Problem, Source, SourceError

__all__ = ["RULES", "SourceError", "fix_source", "lint_source"]

RULES = ("R1", "R2", "R3", "R4", "R5")

# What an earlier one mends, a later one leaves for the next round.
_CHECKS = (entry.check, lists.check, nops.check, tails.check, shared.check, calls.check)


def lint_source(source: str, path: str, rules: Collection[str] = RULES) -> List[Finding]:
    """Find what breaks the rules.

    Args:
        source: Python code.
        path: The file that it is from, for the findings.
        rules: Which rules.

    Returns:
        The findings, by line.

    Raises:
        SourceError: It is not Python.
    """
    return _findings(_check(Source(source, path), rules))


def fix_source(source: str, path: str, rules: Collection[str] = RULES) -> Tuple[str, List[Finding]]:
    """Mend what breaks the rules, where the meaning surely stays.

    Args:
        source: Python code.
        path: The file that it is from, for the findings.
        rules: Which rules.

    Returns:
        The code, and the findings that are left in it, by line.

    Raises:
        SourceError: It is not Python.
    """
    while True:
        parsed = Source(source, path)
        problems = _check(parsed, rules)
        edits = _choose(problems)
        if not edits:
            return source, _findings(problems)
        source = parsed.apply(edits)


def _check(source: Source, rules: Collection[str]) -> List[Problem]:
    """What breaks the rules and is not ignored."""
    classes = Classes(source)
    return [
        problem
        for check in _CHECKS
        for problem in check(source, classes)
        if problem.finding.rule in rules and not source.is_ignored(problem.finding)
    ]


def _findings(problems: List[Problem]) -> List[Finding]:
    return sorted(
        (problem.finding for problem in problems),
        key=lambda finding: (finding.line or 0, finding.rule),
    )


def _choose(problems: List[Problem]) -> List[Edit]:
    """The edits of as many problems as can be mended at once."""
    chosen: List[Edit] = []
    for problem in problems:
        # Two problems may need the same import.
        edits = [edit for edit in problem.edits or () if edit not in chosen]
        if not any(_overlap(edit, other) for edit in edits for other in chosen):
            chosen += edits
    return chosen


def _overlap(a: Edit, b: Edit) -> bool:
    return a.start < b.end and b.start < a.end
