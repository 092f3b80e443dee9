"""R5: the method that runs is really named ``forward``.

``self.forward = self.forward_slicing`` in a constructor goes; the constructor stores the name of
the method instead, and a real ``def forward`` calls it. What is not of this form is reported only.
"""

from typing import Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import libcst as cst

from fqat.findings import Finding
from fqat.lint.classes import Classes, ModuleClass, last_name, own_attribute, receiver
from fqat.lint.source import Edit, Problem, Source, Statement

Replacement = Tuple[cst.Attribute, cst.BaseExpression]


class _Site(NamedTuple):
    """A constructor that replaces ``forward``."""

    cls: ModuleClass
    init: cst.FunctionDef
    replacements: List[Replacement]


def check(source: Source, classes: Classes) -> Iterator[Problem]:
    """Find ``x.forward = ...``."""
    sites: Dict[ModuleClass, _Site] = {}
    for target, value in classes.replaced_forwards:
        function = source.function(target)
        cls = _class_of(classes, function)
        if cls is None and _is_of_other_class(source, target, function):
            continue
        if cls is None or function is None or not _is_own(target, function):
            yield Problem(_finding(source, target, cls, value, []), None)
        else:
            site = sites.setdefault(cls, _Site(cls, function, []))
            site.replacements.append((target, value))
    for node in source.walk(source.module):
        if _is_setattr(source, node):
            yield Problem(_finding(source, node, None, None, []), None)
    for site in sites.values():
        (target, value), *others = site.replacements
        yield Problem(
            _finding(source, target, site.cls, value, [other for other, _ in others]),
            _fix(source, classes, site),
        )


def _class_of(classes: Classes, function: Optional[cst.FunctionDef]) -> Optional[ModuleClass]:
    """The module class that `function` is a method of."""
    for cls in classes.all:
        if function is not None and function in cls.methods.values():
            return cls
    return None


def _is_of_other_class(
    source: Source, target: cst.Attribute, function: Optional[cst.FunctionDef]
) -> bool:
    """Whether a target is an attribute of an instance of a class that is no module."""
    return (
        function is not None
        and own_attribute(target, receiver(function)) is not None
        and any(isinstance(ancestor, cst.ClassDef) for ancestor in source.ancestors(function))
    )


def _is_own(target: cst.Attribute, function: cst.FunctionDef) -> bool:
    """Whether a target is an attribute of the instance that a constructor makes."""
    is_init = function.name.value == "__init__"
    return is_init and own_attribute(target, receiver(function)) is not None


def _is_setattr(source: Source, node: cst.CSTNode) -> bool:
    return (
        isinstance(node, cst.Call)
        and source.qualified(node.func) == "builtins.setattr"
        and len(node.args) == 3
        and isinstance(node.args[1].value, cst.SimpleString)
        and node.args[1].value.evaluated_value == "forward"
    )


def _finding(
    source: Source,
    node: cst.CSTNode,
    cls: Optional[ModuleClass],
    value: Optional[cst.BaseExpression],
    others: List[cst.Attribute],
) -> Finding:
    name = cls.name if cls is not None else "a module"
    message = "forward of {} is replaced on the instance".format(name)
    remedy = "define forward in the class"
    if isinstance(value, cst.Attribute):
        remedy += " and call {} there".format(value.attr.value)
    return source.error(
        "R5",
        "other-method",
        node,
        message,
        remedy,
        [source.place(other, "it is replaced here too") for other in others],
    )


def _fix(source: Source, classes: Classes, site: _Site) -> Optional[List[Edit]]:
    """Let ``def forward`` call what the constructor chose."""
    cls = site.cls
    own = cls.methods.get("forward")
    methods = _alternatives(site)
    statements = [source.statement(target) for target, _ in site.replacements]
    if (
        not methods
        or len({_signature(source, method) for method in methods + ([own] if own else [])}) != 1
        or not all(_is_plain(source, statement) for statement in statements)
        or _is_forward_used(source, classes, cls)
    ):
        return None
    always = _assigns(source, site.init.body, statements)
    if own is None:
        if not always:
            return None
        body = site.init.body
        if len(methods) == len(statements) == 1 and len(body.body) > 1:
            line = statements[0]
            if source.parent(line) is body and isinstance(line, cst.SimpleStatementLine):
                return [source.remove(line), _define(source, methods, [_run(methods[0])])]
    choice = "_forward_method"
    while choice in classes.identifiers(cls):
        choice += "_"
    edits = [
        edit for replacement in site.replacements for edit in _store(source, choice, *replacement)
    ]
    tests = []
    for method in methods:
        if method is not own:
            test = 'if {}.{} == "{}":'.format(receiver(method), choice, method.name.value)
            tests += [test, source.indent_unit + _run(method)]
    if own is None:
        return edits + [_define(source, methods, tests[:-2] + [_run(methods[-1])])]
    first = _first_statement(own)
    if first is None or own.decorators or not source.owns_lines(first):
        return None
    if not always:
        default = '{}.{} = "forward"'.format(receiver(site.init), choice)
        edits.append(source.insert_before(_outermost(source, site.init, statements[0]), [default]))
    return edits + [source.insert_before(first, tests)]


def _alternatives(site: _Site) -> List[cst.FunctionDef]:
    """The methods that run as forward; none if one of them is not known."""
    found: List[cst.FunctionDef] = []
    for _, value in site.replacements:
        for leaf in _leaves(value):
            name = own_attribute(leaf, receiver(site.init))
            method = site.cls.methods.get(name or "")
            if method is None or method.asynchronous or not receiver(method):
                return []
            if method not in found:
                found.append(method)
    return found


def _leaves(value: cst.BaseExpression) -> List[cst.BaseExpression]:
    """What a value is in the end, whatever its conditions."""
    if isinstance(value, cst.IfExp):
        return _leaves(value.body) + _leaves(value.orelse)
    return [value]


def _signature(source: Source, method: cst.FunctionDef) -> Tuple[str, ...]:
    """The parameters of a method, without annotations and the name of the instance."""
    parameters = method.params
    groups = (
        ("/", list(parameters.posonly_params)),
        ("", list(parameters.params)),
        ("*", [parameters.star_arg] if isinstance(parameters.star_arg, cst.Param) else []),
        ("=", list(parameters.kwonly_params)),
        ("**", [parameters.star_kwarg] if parameters.star_kwarg else []),
    )
    found = []
    for kind, group in groups:
        for parameter in group:
            default = source.code(parameter.default) if parameter.default else ""
            found.append(" ".join((kind, parameter.name.value, default)))
    return tuple(found)


def _is_plain(source: Source, statement: Statement) -> bool:
    """Whether a statement is ``target = value`` in a line of its own."""
    if not isinstance(statement, cst.SimpleStatementLine) or not source.owns_lines(statement):
        return False
    assign = statement.body[0]
    return isinstance(assign, cst.AnnAssign) or (
        isinstance(assign, cst.Assign) and len(assign.targets) == 1
    )


def _is_forward_used(source: Source, classes: Classes, cls: ModuleClass) -> bool:
    """Whether someone counts on what ``forward`` of the class is today."""
    for other in classes.all:
        if other is not cls and cls in other.lineage() and "forward" in other.methods:
            return True
    return any(
        isinstance(node, cst.Attribute)
        and node.attr.value == "forward"
        and (classes.of(node.value) is not None or last_name(node.value) in ("super", "type"))
        for node in source.walk(source.module)
    )


def _assigns(source: Source, block: cst.BaseSuite, statements: Sequence[Statement]) -> bool:
    """Whether each run of a block that comes to its end runs one of `statements`."""
    for statement in block.body:
        if statement in statements:
            return True
        if isinstance(statement, cst.SimpleStatementLine) and isinstance(
            statement.body[-1], cst.Raise
        ):
            return True
        if isinstance(statement, cst.If) and _branches_assign(source, statement, statements):
            return True
        if isinstance(statement, cst.With) and _assigns(source, statement.body, statements):
            return True
        if source.has(statement, cst.Return):
            return False
    return False


def _branches_assign(source: Source, statement: cst.If, statements: Sequence[Statement]) -> bool:
    if statement.orelse is None or not _assigns(source, statement.body, statements):
        return False
    if isinstance(statement.orelse, cst.If):
        return _branches_assign(source, statement.orelse, statements)
    return _assigns(source, statement.orelse.body, statements)


def _store(
    source: Source, choice: str, target: cst.Attribute, value: cst.BaseExpression
) -> List[Edit]:
    """Store the name of the method in ``self.<choice>``."""
    edits = [Edit(source.start(target.attr), source.end(target.attr), choice)]
    assign = source.parent(target)
    if isinstance(assign, cst.AnnAssign):
        note = assign.annotation.annotation
        edits.append(Edit(source.start(note), source.end(note), "str"))
    for leaf in _leaves(value):
        edits.append(Edit(source.start(leaf), source.end(leaf), '"{}"'.format(last_name(leaf))))
    return edits


def _run(method: cst.FunctionDef) -> str:
    """The statement that calls a method with the arguments of the caller."""
    instance = receiver(method)
    parameters = method.params
    arguments = [
        parameter.name.value
        for parameter in [*parameters.posonly_params, *parameters.params]
        if parameter.name.value != instance
    ]
    if isinstance(parameters.star_arg, cst.Param):
        arguments.append("*" + parameters.star_arg.name.value)
    arguments += ["{0}={0}".format(parameter.name.value) for parameter in parameters.kwonly_params]
    if parameters.star_kwarg is not None:
        arguments.append("**" + parameters.star_kwarg.name.value)
    return "return {}.{}({})".format(instance, method.name.value, ", ".join(arguments))


def _define(source: Source, methods: List[cst.FunctionDef], body: List[str]) -> Edit:
    """Put ``def forward`` above the first of `methods`."""
    first = min(methods, key=source.start)
    returns = {
        source.code(method.returns.annotation) if method.returns else "" for method in methods
    }
    result = returns.pop() if len(returns) == 1 else ""
    lines = [
        "def forward({}){}:".format(source.code(first.params), " -> " + result if result else "")
    ]
    if first.get_docstring() is not None:
        body = ['"""Run what the constructor chose."""'] + body
    lines += [source.indent_unit + line for line in body]
    indent = source.indent(first)
    offset = source.head(first)
    text = "".join(indent + line + source.newline for line in lines)
    return Edit(offset, offset, text + source.newline)


def _first_statement(function: cst.FunctionDef) -> Optional[Statement]:
    """The first statement of a function behind its docstring."""
    statements = function.body.body[0 if function.get_docstring() is None else 1 :]
    first = statements[0] if statements else None
    if isinstance(first, (cst.SimpleStatementLine, cst.BaseCompoundStatement)):
        return first
    return None


def _outermost(source: Source, function: cst.FunctionDef, statement: Statement) -> Statement:
    """The statement of a function's own block that holds `statement`."""
    while source.parent(statement) is not function.body:
        statement = source.statement(statement)
    return statement
