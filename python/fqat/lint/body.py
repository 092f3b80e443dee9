"""One method that forward runs: its nops, its layers, its tail, and what its statements touch."""

import re
from typing import Iterator, List, NamedTuple, Optional, Set

import libcst as cst

from fqat.lint.classes import Classes, ModuleClass, last_name, own_attribute, receiver
from fqat.lint.source import Source, Statement

# Functions and methods that make no tensor.
_QUIET = re.compile(
    "len|range|enumerate|zip|isinstance|print|int|float|str|bool|tuple|size|dim|numel|append|extend"
    "|items|keys|values"
)
# Operators that follow the last layer of a head.
_TAIL = re.compile(
    "cat|concat|concatenate|stack|view|reshape|permute|transpose|flatten|contiguous|sigmoid|softmax"
    "|exp|chunk|split|unbind|unsqueeze|squeeze|movedim|swapaxes|tanh|mul|sub|div"
)
_RANDOM = re.compile(r"(rand|dropout|bernoulli|multinomial|normal|manual_seed|print|log)")


class Assign(NamedTuple):
    """``target = value``, one of several where both sides are tuples."""

    statement: Statement
    target: str
    value: cst.BaseExpression


class Body:
    """A method that forward runs.

    Attributes:
        source: The file.
        function: The method.
        instance: What it calls its instance.
    """

    def __init__(
        self, source: Source, classes: Classes, cls: ModuleClass, function: cst.FunctionDef
    ) -> None:
        """Wrap `function`, a method of `cls`."""
        self.source = source
        self.function = function
        self.instance = receiver(function)
        self._classes = classes
        self._cls = cls

    def module(self, node: cst.CSTNode) -> Optional[str]:
        """The attribute of a call ``self.m(x)`` or ``self.m[i](x)``."""
        if not isinstance(node, cst.Call):
            return None
        called: cst.CSTNode = node.func
        while isinstance(called, cst.Subscript):
            called = called.value
        name = own_attribute(called, self.instance)
        return None if name is None or self._cls.lookup(name) is not None else name

    def is_nop(self, node: cst.CSTNode) -> bool:
        """Whether a node is a call of an out_nop with one argument."""
        name = self.module(node)
        return (
            name is not None
            and isinstance(node, cst.Call)
            and len(node.args) == 1
            and not node.args[0].star
            and self._classes.is_nop(self._cls, name)
        )

    def is_layer(self, node: cst.CSTNode) -> bool:
        """Whether a node is a call of another module."""
        return self.module(node) is not None and not self.is_nop(node)

    def is_fresh(self, nop: cst.BaseExpression) -> bool:
        """Whether a nop marks a layer that returns memory of its own."""
        layer = nop.args[0].value if isinstance(nop, cst.Call) else nop
        name = self.module(layer)
        return name is not None and self._classes.is_fresh(self._cls, name)

    def may_write(self, node: cst.CSTNode) -> bool:
        """Whether a node holds a call that may write its argument."""
        for inner in self.source.walk(node):
            name = self.module(inner)
            if name is not None:
                if not self._classes.is_pure(self._cls, name) and not self.is_nop(inner):
                    return True
            elif self.is_event(inner) and not self.tail(inner):
                return True
        return False

    def tail(self, node: cst.CSTNode) -> str:
        """The name of an operator of the tail that a node calls; empty for other nodes."""
        if not isinstance(node, cst.Call) or self.module(node) is not None:
            return ""
        name = node.func.attr.value if isinstance(node.func, cst.Attribute) else ""
        return name if _TAIL.fullmatch(name) else ""

    def nops(self, node: cst.CSTNode) -> List[cst.Call]:
        """The calls of nops in a node."""
        return [
            inner
            for inner in self.source.walk(node)
            if isinstance(inner, cst.Call) and self.is_nop(inner)
        ]

    def is_event(self, node: cst.CSTNode) -> bool:
        """Whether a node makes a tensor and is no nop."""
        if not isinstance(node, cst.Call) or self.is_nop(node):
            return False
        name = node.func.attr if isinstance(node.func, cst.Attribute) else node.func
        return not isinstance(name, cst.Name) or not _QUIET.fullmatch(name.value)

    def has_event(self, node: cst.CSTNode) -> bool:
        """Whether a node makes a tensor, nops aside."""
        return any(self.is_event(inner) for inner in self.source.walk(node))

    def assigns(self, statement: cst.CSTNode) -> List[Assign]:
        """The assignments of a statement that has its lines for itself."""
        if not isinstance(statement, cst.SimpleStatementLine):
            return []
        assign = statement.body[0]
        if not self.source.owns_lines(statement) or not isinstance(assign, cst.Assign):
            return []
        target, value = assign.targets[0].target, assign.value
        if len(assign.targets) > 1:
            return []
        targets, values = [self.source.code(target)], [value]
        if isinstance(target, cst.Tuple):
            if not isinstance(value, cst.Tuple) or len(target.elements) != len(value.elements):
                return []
            targets = [self.source.code(element.value) for element in target.elements]
            values = [element.value for element in value.elements]
        return [Assign(statement, *pair) for pair in zip(targets, values)]


def bodies(source: Source, classes: Classes) -> Iterator[Body]:
    """The methods of the file that forward runs."""
    seen: Set[cst.FunctionDef] = set()
    for cls in classes.all:
        for owner, function in classes.running(cls):
            if owner is not None and function not in seen:
                seen.add(function)
                yield Body(source, classes, cls, function)


def is_random(node: cst.CSTNode) -> bool:
    """Whether a node is a call that draws random numbers, prints, or works in place."""
    if not isinstance(node, cst.Call):
        return False
    name = node.func.attr if isinstance(node.func, cst.Attribute) else node.func
    return isinstance(name, cst.Name) and (
        _RANDOM.match(name.value) is not None or name.value.endswith("_")
    )


def is_plain(body: Body, statement: cst.CSTNode) -> bool:
    """Whether a statement leaves no block, and writes local variables only."""
    for node in body.source.walk(statement):
        if isinstance(
            node,
            (
                cst.Return,
                cst.Raise,
                cst.Break,
                cst.Continue,
                cst.Yield,
                cst.Await,
                cst.AugAssign,
                cst.NamedExpr,
                cst.Del,
                cst.Try,
                cst.With,
                cst.Assert,
                cst.FunctionDef,
                cst.ClassDef,
                cst.Global,
                cst.Nonlocal,
            ),
        ):
            return False
        if isinstance(node, cst.AssignTarget) and isinstance(node.target, cst.Attribute):
            return False
        if is_random(node):
            return False
    return True


def variables(body: Body, node: cst.CSTNode) -> Set[str]:
    """The local variables that a node names, but for the instance."""
    return {
        inner.value
        for inner in body.source.walk(node)
        if isinstance(inner, cst.Name)
        and inner.value != body.instance
        and "<locals>" in body.source.qualified(inner)
    }


def read(body: Body, statement: cst.CSTNode) -> Set[str]:
    """The local variables that a statement reads, those in nops aside."""
    if body.is_nop(statement) or isinstance(statement, cst.AssignTarget):
        return set()
    children = body.source.children(statement)
    if isinstance(statement, cst.Call) and last_name(statement) == "append":
        children = list(statement.args)  # the list itself holds what moves, too
    if not children:
        return variables(body, statement)
    return {name for child in children for name in read(body, child)}


def written(body: Body, node: cst.CSTNode) -> Set[str]:
    """The local variables that a node sets, or whose elements it sets."""
    found: Set[str] = set()
    for inner in body.source.walk(node):
        targets: List[cst.BaseExpression] = []
        if isinstance(
            inner, (cst.AssignTarget, cst.AugAssign, cst.AnnAssign, cst.NamedExpr, cst.For)
        ):
            targets.append(inner.target)
        elif isinstance(inner, cst.AsName):
            targets.append(inner.name)
        elif isinstance(inner, cst.Call) and isinstance(inner.func, cst.Attribute):
            name = inner.func.attr.value
            if name.endswith("_") or name in ("append", "extend", "insert", "pop", "update"):
                targets.append(inner.func.value)
        for target in targets:
            found |= bases(target)
    return found


def bases(target: cst.CSTNode) -> Set[str]:
    """The variables that a target is, or is an element of."""
    if isinstance(target, (cst.Tuple, cst.List)):
        return {name for element in target.elements for name in bases(element.value)}
    while isinstance(target, (cst.Subscript, cst.Attribute)):
        target = target.value
    return {target.value} if isinstance(target, cst.Name) else set()


def names_of(target: cst.CSTNode) -> Set[str]:
    """The variables that a target sets, those aside of which it sets an element."""
    if isinstance(target, (cst.Tuple, cst.List)):
        return {name for element in target.elements for name in names_of(element.value)}
    return {target.value} if isinstance(target, cst.Name) else set()


def called(node: cst.BaseExpression) -> cst.BaseExpression:
    """What a call calls."""
    assert isinstance(node, cst.Call)
    return node.func
