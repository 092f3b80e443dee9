"""R2: no ``list()`` in what forward runs.

``x = list((a, b))`` becomes ``x = []``, ``x.append(a)``, ``x.append(b)``. Where statements cannot
come first without changing what is evaluated when (behind another call, in a conditional
expression, in a lambda), and where there are comments to keep, it becomes the display ``[a, b]``.
Any other ``list(v)`` becomes ``[v for v in ...]``.
"""

from typing import Iterator, List, Optional, Set

import libcst as cst

from fqat.lint.classes import Classes, last_name
from fqat.lint.source import Edit, Problem, Source, Statement, free_name

# What may be evaluated a little later, behind the elements of the list, with the same result.
_STILL = (cst.Call, cst.Subscript, cst.BinaryOperation, cst.UnaryOperation, cst.FormattedString)
# Around these, it is not sure that the list is made at all, or that it is made once.
_CONDITIONAL = (
    cst.IfExp,
    cst.BooleanOperation,
    cst.Comparison,
    cst.Lambda,
    cst.BaseComp,
    cst.Assert,
    cst.AugAssign,
)


def check(source: Source, classes: Classes) -> Iterator[Problem]:
    """Find ``list(...)`` in what forward runs."""
    seen: Set[cst.CSTNode] = set()
    for cls in classes.all:
        for method in classes.running(cls):
            if method.function in seen:
                continue
            seen.add(method.function)
            for node in source.walk(method.function.body):
                if _is_list(source, node):
                    assert isinstance(node, cst.Call)
                    where = method.function.name.value
                    if method.owner is not None:
                        where = "{}.{}".format(method.owner.name, where)
                    yield _problem(source, node, where)


def _is_list(source: Source, node: cst.CSTNode) -> bool:
    return (
        isinstance(node, cst.Call)
        and last_name(node) == "list"
        and source.qualified(node.func) == "builtins.list"
    )


def _problem(source: Source, call: cst.Call, where: str) -> Problem:
    argument = call.args[0] if len(call.args) == 1 else None
    values = _displayed(argument.value) if argument is not None else []
    if values or not call.args:
        remedy = "start with x = [] and x.append() each element"
    else:
        remedy = "write [v for v in ...] or append to x = []"
    finding = source.error("R2", "list", call, "list() runs in {}".format(where), remedy)
    if not call.args:
        return Problem(finding, [Edit(source.start(call), source.end(call), "[]")])
    if argument is None or argument.star or argument.keyword is not None:
        return Problem(finding, None)
    edits = _append(source, call, values) if values else None
    return Problem(finding, edits or _display(source, call, argument.value))


def _displayed(value: cst.BaseExpression) -> List[cst.BaseExpression]:
    """The elements of a tuple or list; none if there are, or may be, others."""
    if not isinstance(value, (cst.Tuple, cst.List)):
        return []
    if any(isinstance(element, cst.StarredElement) for element in value.elements):
        return []
    return [element.value for element in value.elements]


def _append(
    source: Source, call: cst.Call, values: List[cst.BaseExpression]
) -> Optional[List[Edit]]:
    """Make the list with appends, in statements of their own."""
    statement = source.statement(call)
    if source.has(call, cst.Comment) or not _may_come_first(source, call, values, statement):
        return None
    name = _target(source, call, statement)
    if name is not None:
        lines = ["{}.append({})".format(name, source.code(value)) for value in values]
        return [
            Edit(source.start(call), source.end(call), "[]"),
            source.insert_after(statement, lines),
        ]
    function = source.function(call)
    assert function is not None
    taken = source.names(function)
    name = "items" if "items" not in taken else free_name("items", taken.__contains__)
    lines = ["{} = []".format(name)]
    lines += ["{}.append({})".format(name, source.code(value)) for value in values]
    start = source.start(statement)
    text = "".join(line + source.newline + source.indent(statement) for line in lines)
    # One edit up to the call, so that two lists of one statement are mended one after the other.
    before = source.text(start, source.start(call))
    return [Edit(start, source.end(call), text + before + name)]


def _may_come_first(
    source: Source, call: cst.Call, values: List[cst.BaseExpression], statement: Statement
) -> bool:
    """Whether the elements may be evaluated before everything else in the statement."""
    if not source.owns_lines(statement):
        return False
    if isinstance(statement, cst.For):
        if not any(node is call for node in source.walk(statement.iter)):
            return False
        whole: cst.CSTNode = statement.iter
    elif isinstance(statement, cst.SimpleStatementLine):
        whole = statement
    else:
        return False
    inside = []
    for ancestor in source.ancestors(call):
        if ancestor is statement:
            break
        inside.append(ancestor)
    if any(isinstance(node, _CONDITIONAL) for node in inside):
        return False
    if source.has(whole, cst.NamedExpr, cst.Await, cst.Yield):
        return False
    if all(isinstance(value, (cst.Name, cst.BaseNumber, cst.SimpleString)) for value in values):
        return True
    return not any(
        isinstance(node, _STILL) and node not in inside and source.start(node) < source.start(call)
        for node in source.walk(whole)
        if not _is_in_target(source, node, statement)
    )


def _is_in_target(source: Source, node: cst.CSTNode, statement: Statement) -> bool:
    """Whether a node is on the left of ``=``, which is evaluated last."""
    for ancestor in source.ancestors(node):
        if isinstance(ancestor, cst.AssignTarget):
            return True
        if ancestor is statement:
            break
    return False


def _target(source: Source, call: cst.Call, statement: Statement) -> Optional[str]:
    """The variable in ``x = list(...)`` if nobody can see that it grows."""
    assign = source.parent(call)
    if isinstance(assign, cst.Assign) and len(assign.targets) == 1:
        target: cst.BaseExpression = assign.targets[0].target
    elif isinstance(assign, cst.AnnAssign):
        target = assign.target
    else:
        return None
    if not isinstance(target, cst.Name) or target.value in source.names(call):
        return None
    name = target.value
    if any(isinstance(ancestor, cst.Try) for ancestor in source.ancestors(statement)):
        return None
    function = source.function(call)
    assert function is not None
    for node in source.walk(function):
        is_inner = isinstance(node, (cst.FunctionDef, cst.Lambda, cst.BaseComp))
        if is_inner and node is not function and name in source.names(node):
            return None
        if isinstance(node, (cst.Global, cst.Nonlocal)) and name in source.names(node):
            return None
    return name


def _display(source: Source, call: cst.Call, value: cst.BaseExpression) -> Optional[List[Edit]]:
    """Make the list with brackets, in place."""
    if source.has(value, cst.NamedExpr, cst.Await, cst.Yield):
        return None
    comments = [node for node in source.walk(call) if isinstance(node, cst.Comment)]
    start, end = source.start(value), source.end(value)
    if any(not start <= source.start(comment) < end for comment in comments):
        return None
    if isinstance(value, (cst.Tuple, cst.List, cst.GeneratorExp, cst.ListComp)):
        text = source.code(value)
        if not text.startswith("(" * len(value.lpar)) or not text.endswith(")" * len(value.lpar)):
            return None
        text = text[len(value.lpar) : len(text) - len(value.lpar)]
        if len(text.splitlines()) == 1:
            text = text.strip(" ")
            text = text.rstrip(", ") if isinstance(value, cst.Tuple) else text
        if isinstance(value, (cst.Tuple, cst.GeneratorExp)):
            text = "[" + text + "]"
    elif isinstance(value, (cst.IfExp, cst.Lambda)) and not value.lpar:
        text = "[v for v in ({})]".format(source.code(value))
    else:
        text = "[v for v in {}]".format(source.code(value))
    return [Edit(source.start(call), source.end(call), text)]
