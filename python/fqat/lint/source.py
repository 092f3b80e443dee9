"""A parsed Python file, and the edits that mend it.

The tree comes from libcst. Edits are replacements of byte ranges of the text, so everything that no
edit names stays as it was written: comments, blank lines, quotes, tabs, newlines.
"""

import ast
import bisect
import re
import sys
from typing import Callable, Dict, Iterable, Iterator, List, NamedTuple, Optional, Set, Tuple, Union

import libcst as cst
from libcst.metadata import (
    ByteSpanPositionProvider,
    ImportAssignment,
    MetadataWrapper,
    Scope,
    ScopeProvider,
)

from fqat.findings import Finding, Place

_NEWLINE = re.compile(rb"\r\n?|\n")
# Python 3.9 has no list of them all.
_STANDARD = frozenset(getattr(sys, "stdlib_module_names", ("copy", "math", "os", "re", "typing")))
_IGNORE = re.compile(r"#\s*fqat:\s*ignore(?:\[([^\]]*)\])?")

Statement = Union[cst.SimpleStatementLine, cst.BaseCompoundStatement]


class SourceError(ValueError):
    """A file that cannot be read as Python; the message is one line that names it."""


class Edit(NamedTuple):
    """A replacement of the bytes from `start` to before `end`."""

    start: int
    end: int
    text: str


class Problem(NamedTuple):
    """A finding, and the edits that mend it: all of them or none. None where there is no fix."""

    finding: Finding
    edits: Optional[List[Edit]]


class _Index(cst.CSTVisitor):
    """Who is whose child."""

    def __init__(self) -> None:
        super().__init__()
        self.parents: Dict[cst.CSTNode, cst.CSTNode] = {}
        self.children: Dict[cst.CSTNode, List[cst.CSTNode]] = {}
        self._path: List[cst.CSTNode] = []

    def on_visit(self, node: cst.CSTNode) -> bool:
        self.children[node] = []
        if self._path:
            self.parents[node] = self._path[-1]
            self.children[self._path[-1]].append(node)
        self._path.append(node)
        return True

    def on_leave(self, original_node: cst.CSTNode) -> None:
        self._path.pop()


class Source:
    """A Python file, parsed."""

    def __init__(self, text: str, path: str) -> None:
        """Parse `text`.

        Raises:
            SourceError: It is not Python.
        """
        self.path = path
        self.data = text.encode()
        try:
            # Python's own parser first: its messages are better, and no nesting crashes it.
            ast.parse(text)
            wrapper = MetadataWrapper(cst.parse_module(text), unsafe_skip_copy=True)
            index = _Index()
            wrapper.module.visit(index)
            self._spans = wrapper.resolve(ByteSpanPositionProvider)
            self._scopes = wrapper.resolve(ScopeProvider)
        except SyntaxError as error:
            raise SourceError("{}:{}: error: {}".format(path, error.lineno, error.msg)) from error
        except (cst.ParserSyntaxError, ValueError) as error:
            raise SourceError("{}: error: this is not Python".format(path)) from error
        except (RecursionError, MemoryError) as error:
            raise SourceError("{}: error: nested too deeply".format(path)) from error
        self.module = wrapper.module
        self.newline = self.module.default_newline
        self.indent_unit = self.module.default_indent
        self._parents = index.parents
        self._children = index.children
        self._line_starts = [0] + [match.end() for match in _NEWLINE.finditer(self.data)]
        self._ignored = dict(self._find_ignored())

    # The tree --------------------------------------------------------------------------------

    def parent(self, node: cst.CSTNode) -> cst.CSTNode:
        """What holds `node`."""
        return self._parents[node]

    def ancestors(self, node: cst.CSTNode) -> Iterator[cst.CSTNode]:
        """What is around `node`, from the inside."""
        while node in self._parents:
            node = self._parents[node]
            yield node

    def children(self, node: cst.CSTNode) -> List[cst.CSTNode]:
        """What `node` holds, as it is written from left to right."""
        return self._children[node]

    def walk(self, node: cst.CSTNode) -> Iterator[cst.CSTNode]:
        """`node` and everything in it, as it is written from left to right."""
        stack = [node]
        while stack:
            node = stack.pop()
            yield node
            stack.extend(reversed(self._children[node]))

    def statement(self, node: cst.CSTNode) -> Statement:
        """The innermost statement around `node`."""
        for ancestor in self.ancestors(node):
            if isinstance(ancestor, (cst.SimpleStatementLine, cst.BaseCompoundStatement)):
                return ancestor
        raise AssertionError("a node outside of every statement")

    def function(self, node: cst.CSTNode) -> Optional[cst.FunctionDef]:
        """The innermost function around `node`."""
        for ancestor in self.ancestors(node):
            if isinstance(ancestor, cst.FunctionDef):
                return ancestor
        return None

    def has(self, node: cst.CSTNode, *kinds: type) -> bool:
        """Whether `node` is or holds a node of one of these classes."""
        return any(isinstance(inner, kinds) for inner in self.walk(node))

    def names(self, node: cst.CSTNode) -> Set[str]:
        """Every identifier in `node`, those of attributes included."""
        return {inner.value for inner in self.walk(node) if isinstance(inner, cst.Name)}

    def qualified(self, node: cst.CSTNode) -> str:
        """What a name or an attribute stands for: ``torch.nn.ReLU``; empty if that is unclear."""
        scope = self._scopes.get(node)
        if scope is None:
            return ""
        found = {name.name for name in scope.get_qualified_names_for(node)}
        return found.pop() if len(found) == 1 else ""

    # The text --------------------------------------------------------------------------------

    def start(self, node: cst.CSTNode) -> int:
        """Where `node` starts; its own parentheses, comments and decorators are outside."""
        return self._spans[node].start

    def end(self, node: cst.CSTNode) -> int:
        """Where `node` ends."""
        span = self._spans[node]
        return span.start + span.length

    def text(self, start: int, end: int) -> str:
        """The text from `start` to before `end`."""
        return self.data[start:end].decode()

    def code(self, node: cst.CSTNode) -> str:
        """The text of an expression with its own parentheses."""
        left, right = getattr(node, "lpar", ()), getattr(node, "rpar", ())
        start = self.start(left[0] if left else node)
        return self.text(start, self.end(right[-1] if right else node))

    def line(self, node: cst.CSTNode) -> int:
        """The line, counted from 1, in which `node` starts."""
        return bisect.bisect_right(self._line_starts, self.start(node))

    def line_start(self, offset: int) -> int:
        """Where the line of `offset` starts."""
        return self._line_starts[bisect.bisect_right(self._line_starts, offset) - 1]

    def line_end(self, offset: int) -> int:
        """Where the line after that of `offset` starts, or the end of the text."""
        index = bisect.bisect_right(self._line_starts, offset)
        return self._line_starts[index] if index < len(self._line_starts) else len(self.data)

    def indent(self, statement: Statement) -> str:
        """The white space before a statement that has its lines for itself."""
        return self.text(self.line_start(self.start(statement)), self.start(statement))

    def owns_lines(self, statement: cst.CSTNode) -> bool:
        """Whether no other statement stands in the lines of `statement`."""
        if not isinstance(self.parent(statement), (cst.IndentedBlock, cst.Module)):
            return False
        return not isinstance(statement, cst.SimpleStatementLine) or len(statement.body) == 1

    def head(self, statement: Statement) -> int:
        """Where the first line of a statement starts, its decorators and comments included."""
        first: cst.CSTNode = statement
        if isinstance(statement, (cst.FunctionDef, cst.ClassDef)) and statement.decorators:
            first = statement.decorators[0]
        for line in reversed(getattr(statement, "leading_lines", ())):
            if line.comment is None:
                break
            first = line.comment
        return self.line_start(self.start(first))

    def insert_before(self, statement: Statement, lines: Iterable[str]) -> Edit:
        """Put statements before one that has its lines for itself, below its comments."""
        offset = self.line_start(self.start(statement))
        indent = self.indent(statement)
        return Edit(offset, offset, "".join(indent + line + self.newline for line in lines))

    def insert_after(self, statement: Statement, lines: Iterable[str]) -> Edit:
        """Put statements of the same indentation after one that has its lines for itself."""
        offset = self.line_end(self.end(statement))
        indent = self.indent(statement)
        text = "".join(indent + line + self.newline for line in lines)
        if self.line_start(offset) != offset:  # the last line has no newline
            text = self.newline + text[: -len(self.newline)]
        return Edit(offset, offset, text)

    def remove(self, statement: cst.SimpleStatementLine) -> Edit:
        """Take a statement out; comments stay."""
        start, end = self.start(statement), self.end(statement)
        comment = statement.trailing_whitespace.comment
        if comment is not None:
            return Edit(start, self.start(comment), "")
        return Edit(self.line_start(start), self.line_end(end), "")

    def apply(self, edits: Iterable[Edit]) -> str:
        """The text after edits that do not overlap; those at one place stay in their order."""
        parts, offset = [], 0
        for edit in sorted(edits, key=lambda edit: (edit.start, edit.end)):
            parts += [self.data[offset : edit.start], edit.text.encode()]
            offset = edit.end
        return b"".join(parts + [self.data[offset:]]).decode()

    # Findings --------------------------------------------------------------------------------

    def _find_ignored(self) -> Iterator[Tuple[int, Set[str]]]:
        for node in self.walk(self.module):
            match = _IGNORE.match(node.value) if isinstance(node, cst.Comment) else None
            if match is not None:
                yield self.line(node), set(re.findall(r"\w+", (match.group(1) or "").upper()))

    def is_ignored(self, finding: Finding) -> bool:
        """Whether a comment ``# fqat: ignore`` in its line takes a finding out."""
        if finding.line not in self._ignored:
            return False
        rules = self._ignored[finding.line]
        return not rules or finding.rule in rules

    def place(self, node: cst.CSTNode, message: str) -> Place:
        """A place of this file."""
        return Place("", self.path, self.line(node), message)

    def error(
        self,
        rule: str,
        kind: str,
        node: cst.CSTNode,
        message: str,
        remedy: str,
        related: Iterable[Place] = (),
    ) -> Finding:
        """A finding at `node`."""
        return Finding(
            rule,
            "error",
            kind,
            "",
            self.path,
            self.line(node),
            message,
            remedy,
            list(related),
        )

    # Names -----------------------------------------------------------------------------------

    def deepcopy(self) -> Optional[Tuple[str, List[Edit]]]:
        """How this file spells ``copy.deepcopy``, and the import that this needs.

        Returns:
            None where both names mean something else here.
        """
        bound: Set[str] = set()
        spellings: Set[str] = set()
        for scope in {scope for scope in self._scopes.values() if scope is not None}:
            for assignment in scope.assignments:
                spelling = _imported_deepcopy(assignment)
                if spelling is None:
                    bound.add(assignment.name)
                elif self._is_at_top(scope, assignment):
                    spellings.add(spelling)
        for spelling in sorted(spellings):
            if spelling.partition(".")[0] not in bound:
                return spelling, []
        for name, spelling, statement in (
            ("copy", "copy.deepcopy", "import copy"),
            ("deepcopy", "deepcopy", "from copy import deepcopy"),
        ):
            if name not in bound:
                return spelling, [self._insert_import(statement)]
        return None

    def _is_at_top(self, scope: Scope, assignment: object) -> bool:
        if scope is not scope.globals or not isinstance(assignment, ImportAssignment):
            return False
        return self.parent(self.statement(assignment.node)) is self.module

    def _insert_import(self, statement: str) -> Edit:
        """Put an import of the standard library where isort would."""
        imports = [
            line
            for line in self.module.body
            if isinstance(line, cst.SimpleStatementLine)
            and isinstance(line.body[0], (cst.Import, cst.ImportFrom))
            and not _is_from_future(line)
        ]
        last = None
        for line in imports:
            key = _import_key(self.code(line.body[0]))
            if not _is_standard(line.body[0]):
                break
            if key > _import_key(statement):
                return self.insert_before(line, [statement])
            last = line
        if last is not None:
            return self.insert_after(last, [statement])
        if imports:
            offset = self.line_start(self.start(imports[0]))
            if imports[0].leading_lines:
                offset = self.head(imports[0])
            return Edit(offset, offset, statement + self.newline * 2)
        return self._insert_first(statement)

    def _insert_first(self, statement: str) -> Edit:
        """Put a statement first, after the docstring and what must come from the future."""
        above = None
        for index, line in enumerate(self.module.body):
            is_docstring = index == 0 and self.module.get_docstring() is not None
            if not is_docstring and not _is_from_future(line):
                break
            above = line
        if above is not None:
            offset = self.line_end(self.end(above))
            return Edit(offset, offset, self.newline + statement + self.newline)
        offset = self.head(_as_statement(self.module.body[0]))
        return Edit(offset, offset, statement + self.newline * 2)


def _as_statement(node: cst.CSTNode) -> Statement:
    assert isinstance(node, (cst.SimpleStatementLine, cst.BaseCompoundStatement))
    return node


def _imported_deepcopy(assignment: object) -> Optional[str]:
    """How an import lets one spell ``copy.deepcopy``."""
    if not isinstance(assignment, ImportAssignment):
        return None
    names = {name.name for name in assignment.get_qualified_names_for(assignment.name)}
    if names == {"copy"}:
        return assignment.name + ".deepcopy"
    return assignment.name if names == {"copy.deepcopy"} else None


def _is_from_future(line: cst.CSTNode) -> bool:
    return (
        isinstance(line, cst.SimpleStatementLine)
        and isinstance(line.body[0], cst.ImportFrom)
        and isinstance(line.body[0].module, cst.Name)
        and line.body[0].module.value == "__future__"
    )


def _import_key(code: str) -> Tuple[bool, str]:
    """Orders imports as isort does: ``import x`` before ``from x import y``."""
    return code.startswith("from"), code.split()[1]


def _is_standard(node: cst.CSTNode) -> bool:
    """Whether an import is of the standard library."""
    if isinstance(node, cst.Import):
        name: Optional[cst.CSTNode] = node.names[0].name
    else:
        assert isinstance(node, cst.ImportFrom)
        name = None if node.relative else node.module
    while isinstance(name, cst.Attribute):
        name = name.value
    return isinstance(name, cst.Name) and name.value in _STANDARD


def free_name(base: str, is_taken: Callable[[str], bool]) -> str:
    """`base` with 1, 2, ... appended, after ``_`` where it ends in a digit, until it is free."""
    stem = base + "_" if base[-1].isdigit() else base
    number = 1
    while is_taken(stem + str(number)):
        number += 1
    return stem + str(number)
