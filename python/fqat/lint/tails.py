"""R3: all out_nops before the tail.

Operators on marked outputs move behind the last nop of their block; a loop over the levels of a
head is split in two, nops first. Where that could change what is computed, the finding says what to
do.
"""

import re
from typing import Dict, Iterator, List, Optional, Sequence, Set

import libcst as cst

from fqat.findings import Finding
from fqat.lint.body import (
    Body,
    bodies,
    is_plain,
    is_random,
    names_of,
    read,
    variables,
    written,
)
from fqat.lint.classes import Classes
from fqat.lint.source import Edit, Problem, Source, Statement, free_name


def check(source: Source, classes: Classes) -> Iterator[Problem]:
    """Find operators of the tail that run before an out_nop."""
    for body in bodies(source, classes):
        for node in source.walk(body.function.body):
            if isinstance(node, cst.For):
                yield from _loop(body, node)
            elif isinstance(node, cst.IndentedBlock):
                yield from _early_tails(body, node)


class _Plan:
    """What of a block runs first, nops and layers, and what runs after them.

    Attributes:
        early: The first statement of the tail.
        first: For each statement of the tail that holds nops, the lines that call them.
        after: For each statement of the tail, its text behind the nops.
        stays: The statements that run first as they are.
    """

    def __init__(self, body: Body, statements: Sequence[cst.CSTNode]) -> None:
        self.body = body
        self.early: Optional[cst.CSTNode] = None
        self.first: Dict[cst.SimpleStatementLine, List[str]] = {}
        self.after: Dict[cst.SimpleStatementLine, str] = {}
        self.stays: List[cst.CSTNode] = []
        self.locals: List[str] = []
        self.is_certain = True
        marked: Set[str] = set()
        moved: Set[str] = set()
        for statement in statements:
            nops = [assign for assign in body.assigns(statement) if body.is_nop(assign.value)]
            if nops and len(nops) == len(body.assigns(statement)):
                marked.update(nop.target for nop in nops)
                self._stay(statement)
            elif self._is_tail(statement, marked) or variables(body, statement) & moved:
                self.early = self.early or statement
                moved |= written(body, statement)
                self._move(statement)
            else:
                self._stay(statement)
        self.is_certain &= self._is_memory_kept()

    def _is_tail(self, statement: cst.CSTNode, marked: Set[str]) -> bool:
        source = self.body.source
        if source.has(statement, cst.Return):
            return False  # then nothing runs after it
        return any(
            self.body.tail(call)
            and (
                self.body.nops(call)
                or any(
                    isinstance(node, (cst.Name, cst.Subscript)) and source.code(node) in marked
                    for node in source.walk(call)
                )
            )
            for call in source.walk(statement)
        )

    def _stay(self, statement: cst.CSTNode) -> None:
        """Let a statement run before those that move, if nothing tells the difference."""
        body = self.body
        self.stays.append(statement)
        self._precede(statement)
        if self.after:
            self.is_certain &= is_plain(body, statement)

    def _precede(self, node: cst.CSTNode) -> None:
        """Let a node run before the statements that moved so far."""
        body = self.body
        for other in self.after:
            writes = written(body, other) & variables(body, node)
            reads = variables(body, other) & written(body, node)
            self.is_certain &= not writes and not reads

    def _is_memory_kept(self) -> bool:
        """Whether no layer writes, in place, what a statement that moves reads."""
        body = self.body
        firsts = self.firsts()
        if not any(body.may_write(first) for first in firsts):
            return True
        # Then what moves may read only memory that nobody else knows of.
        own: Set[str] = set()
        for first in firsts:
            for assign in body.assigns(first):
                others = [other for other in firsts if other is not first]
                if (
                    body.is_nop(assign.value)
                    and body.is_fresh(assign.value)
                    and not any(assign.target in body.source.names(other) for other in others)
                ):
                    own.add(assign.target)
        for statement in self.after:
            if not all(body.is_fresh(nop) for nop in body.nops(statement)):
                return False
            if not read(body, statement) <= own:
                return False
            own.update(assign.target for assign in body.assigns(statement))
        return True

    def _move(self, statement: cst.CSTNode) -> None:
        """Let a statement run after those that stay."""
        body, source = self.body, self.body.source
        simple = isinstance(statement, cst.SimpleStatementLine) and source.owns_lines(statement)
        if not simple or not is_plain(body, statement):
            self.is_certain = False
            return
        assert isinstance(statement, cst.SimpleStatementLine)
        nops = body.nops(statement)
        within = {id(node) for nop in nops for node in source.walk(nop)}
        around = {id(node) for nop in nops for node in source.ancestors(nop)}
        last = max((source.start(nop) for nop in nops), default=0)
        for node in source.walk(statement):
            if id(node) in within or not isinstance(node, cst.BaseExpression):
                continue
            if body.is_layer(node) or is_random(node):
                self.is_certain = False
            elif isinstance(node, (cst.IfExp, cst.BooleanOperation, cst.Lambda, cst.BaseComp)):
                self.is_certain &= id(node) not in around
            elif isinstance(node, cst.Call) and id(node) not in around:
                self.is_certain &= source.start(node) > last
        start, end = source.head(statement), source.line_end(source.end(statement))
        edits, lines = [], []
        for nop in nops:
            self._precede(nop)
            name = self._new_local()
            lines.append("{} = {}".format(name, source.code(nop)))
            edits.append((source.start(nop), source.end(nop), name))
        if nops:
            self.first[statement] = lines
            self.is_certain &= not any(len(body.nops(nop)) > 1 for nop in nops)
        parts = []
        for left, right, name in edits:
            parts += [source.text(start, left), name]
            start = right
        text = "".join(parts) + source.text(start, end)
        self.after[statement] = text if text.endswith(("\n", "\r")) else text + source.newline

    def _new_local(self) -> str:
        taken = self.body.source.names(self.body.function) | set(self.locals)
        name = "out" if "out" not in taken else free_name("out", taken.__contains__)
        self.locals.append(name)
        return name

    def firsts(self) -> List[cst.CSTNode]:
        """What runs first: the statements that stay, and the nops that are taken out of others."""
        return [*self.stays, *(nop for line in self.first for nop in self.body.nops(line))]

    def edits(self) -> List[Edit]:
        """Take out what runs after."""
        source = self.body.source
        edits = []
        for statement in self.after:
            start, end = source.head(statement), source.line_end(source.end(statement))
            lines = self.first.get(statement, [])
            text = "".join(source.indent(statement) + line + source.newline for line in lines)
            edits.append(Edit(start, end, text))
        return edits


def _early(body: Body, early: cst.CSTNode, later: str, places: Sequence[cst.CSTNode]) -> Finding:
    source = body.source
    calls = sorted((node for node in source.walk(early) if body.tail(node)), key=source.end)
    return source.error(
        "R3",
        "early-tail",
        early,
        "{}() runs before {}".format(body.tail(calls[0]) if calls else "the tail", later),
        "call the out_nops of all outputs first, and everything else after the last of them",
        [source.place(place, "this has to run before") for place in places],
    )


def _early_tails(body: Body, block: cst.IndentedBlock) -> Iterator[Problem]:
    """Find operators on outputs with a nop, or an output that has none, behind them."""
    source = body.source
    if isinstance(source.parent(block), cst.For):
        return  # see `_loop`
    heads = [line for line in block.body if _levels(body, line)]
    last = max(
        (i for i, line in enumerate(block.body) if body.nops(line) or line in heads), default=0
    )
    plan = _Plan(body, block.body[: last + 1])
    early = plan.early or (heads[0] if heads else None)
    if early is None:
        return
    later = [*plan.stays, *plan.first, *heads]
    layers = [
        node
        for line in later
        if source.start(line) > source.start(early)
        for node in [*body.nops(line), *_levels(body, line)]
    ]
    if not layers:
        return
    edits = None
    end = block.body[last]
    if plan.is_certain and not heads:
        assert isinstance(end, (cst.SimpleStatementLine, cst.BaseCompoundStatement))
        edits = plan.edits()
        offset = source.insert_after(end, []).start
        edits.append(Edit(offset, offset, "".join(plan.after.values())))
    names = " and ".join(source.code(node.func) for node in layers)
    yield Problem(_early(body, early, names, layers), edits)


def _levels(body: Body, statement: cst.CSTNode) -> List[cst.Call]:
    """The layers ``self.m[i](...)`` whose outputs an operator of the tail puts together."""
    for call in body.source.walk(statement):
        if body.tail(call):
            found = [node for node in body.source.walk(call) if _is_level(body, node)]
            if len(found) > 1:
                return [node for node in found if isinstance(node, cst.Call)]
    return []


def _loop(body: Body, loop: cst.For) -> Iterator[Problem]:
    """Find loops over levels in which the tail of one runs before the layers of the next."""
    if not isinstance(loop.body, cst.IndentedBlock):
        return
    plan = _Plan(body, loop.body.body)
    if plan.early is not None:
        yield Problem(
            _early(body, plan.early, "the out_nops of the next round", []),
            _split(body, loop, plan),
        )
    elif not body.nops(loop.body):
        early = _unmarked_tail(body, loop.body)
        if early is not None:
            yield Problem(_early(body, early, "the layers of the next round", []), None)


def _unmarked_tail(body: Body, block: cst.IndentedBlock) -> Optional[cst.CSTNode]:
    """The first operator on the output of ``self.m[i](...)`` in a loop over levels."""
    source = body.source
    outputs: Set[str] = set()
    for statement in block.body:
        if _levels(body, statement):
            return statement
        for call in source.walk(statement):
            if body.tail(call) and any(
                isinstance(node, cst.Subscript) and source.code(node) in outputs
                for node in source.walk(call)
            ):
                return call
        for assign in body.assigns(statement):
            if "[" in assign.target and _is_level(body, assign.value):
                outputs.add(assign.target)
    return None


def _is_level(body: Body, node: cst.CSTNode) -> bool:
    return (
        isinstance(node, cst.Call) and isinstance(node.func, cst.Subscript) and body.is_layer(node)
    )


def _split(body: Body, loop: cst.For, plan: _Plan) -> Optional[List[Edit]]:
    """Split a loop over the levels: nops first, the tail in a loop of its own."""
    source = body.source
    if not isinstance(loop.target, cst.Name) or not _may_split(body, loop, loop.target.value, plan):
        return None
    index = loop.target.value
    firsts = plan.firsts()
    after = "".join(plan.after.values())
    words = set(re.findall(r"\w+", after))
    # What the second loop needs of each round of the first, but for what both name x[i].
    kept = [
        name
        for name in sorted({name for node in firsts for name in written(body, node)} & words)
        if not all(_only_at(body, node, name, index) for node in [*firsts, *plan.after])
    ]
    kept += plan.locals
    indent = source.indent(loop)
    offset = source.insert_after(loop, []).start
    if not kept:
        head = "{}for {} in {}:{}".format(indent, index, source.code(loop.iter), source.newline)
        return plan.edits() + [Edit(offset, offset, head + after)]
    names = source.names(body.function)
    levels = "levels" if "levels" not in names else free_name("levels", names.__contains__)
    values = kept[0] if len(kept) == 1 else "({})".format(", ".join(kept))
    inner = source.indent(_first(loop))
    text = "{}{}.append({}){}".format(inner, levels, values, source.newline)
    if index in words:
        head = "for {}, {} in enumerate({}):".format(index, values, levels)
    else:
        head = "for {} in {}:".format(", ".join(kept), levels)
    text += indent + head + source.newline
    first = source.insert_before(loop, [levels + " = []"])
    return [first, *plan.edits(), Edit(offset, offset, text + after)]


def _may_split(body: Body, loop: cst.For, index: str, plan: _Plan) -> bool:
    """Whether no round of the first loop sees what the second loop does in another."""
    if (
        not plan.is_certain
        or not _is_counted(body, loop)
        or not body.source.owns_lines(loop)
        or loop.orelse is not None
        or loop.asynchronous is not None
    ):
        return False
    firsts = plan.firsts()
    set_first = {name for node in firsts for name in written(body, node)} | set(plan.locals)
    set_after = {name for statement in plan.after for name in written(body, statement)}
    if index in set_first | set_after or not all(is_plain(body, node) for node in firsts):
        return False
    for name in set_after:
        if _is_private(body, loop, name):
            continue
        # Where one round sets x[i] and reads x[i], no other round knows of it.
        if not all(_only_at(body, node, name, index) for node in firsts):
            return False
        if name in set_first and not all(
            _only_at(body, statement, name, index) for statement in plan.after
        ):
            return False
    return True


def _is_private(body: Body, loop: cst.For, name: str) -> bool:
    """Whether each round starts by setting a variable."""
    for line in loop.body.body:
        if name in variables(body, line):
            assign = line.body[0] if isinstance(line, cst.SimpleStatementLine) else None
            return (
                isinstance(assign, cst.Assign)
                and len(assign.targets) == 1
                and name in names_of(assign.targets[0].target)
                and name not in variables(body, assign.value)
            )
    return False


def _first(loop: cst.For) -> Statement:
    first = loop.body.body[0]
    assert isinstance(first, (cst.SimpleStatementLine, cst.BaseCompoundStatement))
    return first


def _is_counted(body: Body, loop: cst.For) -> bool:
    """Whether a loop is ``for i in range(number)``, with a number that does not change."""
    call = loop.iter
    if not isinstance(call, cst.Call) or len(call.args) != 1 or call.args[0].star:
        return False
    inner = [node for node in body.source.walk(call.args[0]) if isinstance(node, cst.Call)]
    return body.source.qualified(call.func) == "builtins.range" and all(
        body.source.qualified(node.func) == "builtins.len" for node in inner
    )


def _only_at(body: Body, node: cst.CSTNode, name: str, index: str) -> bool:
    """Whether a node names a variable only as ``name[index]``."""
    source = body.source
    for inner in source.walk(node):
        if isinstance(inner, cst.Name) and inner.value == name:
            parent = source.parent(inner)
            if isinstance(parent, cst.Attribute) and parent.attr is inner:
                continue
            if not isinstance(parent, cst.Subscript) or parent.value is not inner:
                return False
            if source.code(parent) != "{}[{}]".format(name, index):
                return False
    return True
