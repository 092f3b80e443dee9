"""R4: one module object in the class, or in the file, that every block uses.

Of ``default_act = nn.SiLU()`` in a class body there is one for all instances. Each use becomes
``copy.deepcopy(self.default_act)``: who sets ``Conv.default_act`` still decides what blocks get.
"""

from typing import Iterator, List, NamedTuple, Optional, Tuple

import libcst as cst

from fqat.lint.classes import Classes, ModuleClass, is_super, last_name, receiver
from fqat.lint.source import Edit, Problem, Source, free_name

# Calls that look at a module and do not keep it.
_LOOKS = {"isinstance", "issubclass", "type", "id", "repr", "str", "print", "hasattr", "getattr"}


class _Use(NamedTuple):
    """A place that reads the object."""

    node: cst.BaseExpression
    owner: Optional[ModuleClass]
    method: Optional[cst.FunctionDef]


def check(source: Source, classes: Classes) -> Iterator[Problem]:
    """Find module objects that all instances of a class share."""
    for cls in classes.all:
        for statement, name, value in _class_attributes(cls):
            if classes.is_made(value) and not classes.is_nop(cls, name):
                yield from _shared(source, classes, cls, statement, name, value)
        yield from _defaults(source, classes, cls)


def _class_attributes(
    cls: ModuleClass,
) -> Iterator[Tuple[cst.CSTNode, str, cst.BaseExpression]]:
    """What the class body assigns to which name."""
    for line in cls.node.body.body:
        for statement in line.body if isinstance(line, cst.SimpleStatementLine) else ():
            if isinstance(statement, cst.Assign):
                for target in statement.targets:
                    if isinstance(target.target, cst.Name):
                        yield statement, target.target.value, statement.value
            elif (
                isinstance(statement, cst.AnnAssign)
                and isinstance(statement.target, cst.Name)
                and statement.value is not None
            ):
                yield statement, statement.target.value, statement.value


def _shared(
    source: Source,
    classes: Classes,
    cls: ModuleClass,
    statement: cst.CSTNode,
    name: str,
    value: cst.BaseExpression,
) -> Iterator[Problem]:
    uses = [use for use in _uses(source, classes, cls, name) if _keeps(source, use.node)]
    if not uses:
        return
    made = last_name(value)
    finding = source.error(
        "R4",
        "shared-module",
        statement,
        "every {} uses one {} object, the class attribute {}".format(cls.name, made, name),
        "give each block its own in __init__: copy.deepcopy(self.{})".format(name),
        [source.place(use.node, "it is used here") for use in uses],
    )
    yield Problem(finding, _fix(source, classes, cls, name, uses))


def _uses(source: Source, classes: Classes, cls: ModuleClass, name: str) -> Iterator[_Use]:
    """Where the file reads a class attribute."""
    family = classes.family(cls)
    for node in source.walk(source.module):
        if not isinstance(node, cst.Attribute) or node.attr.value != name:
            continue
        method = source.function(node)
        owner = None
        for ancestor in source.ancestors(node):
            owner = next((other for other in classes.all if other.node is ancestor), None)
            if owner is not None:
                break
            if isinstance(ancestor, cst.FunctionDef):
                method = ancestor
        of_class = classes.of(node.value)
        if of_class is not None:
            if cls is not _definer(of_class, name):
                continue
        elif owner not in family or method is None or not _is_instance(node.value, method):
            continue
        yield _Use(node, owner, method)


def _definer(cls: ModuleClass, name: str) -> Optional[ModuleClass]:
    """The class whose attribute `name` of a class is."""
    for base in cls.lineage():
        if any(attribute == name for _, attribute, _ in _class_attributes(base)):
            return base
    return None


def _is_instance(node: cst.BaseExpression, method: cst.FunctionDef) -> bool:
    """Whether a node is ``self``, ``cls``, ``type(self)`` or ``self.__class__``."""
    if isinstance(node, cst.Call) and last_name(node) == "type" and len(node.args) == 1:
        node = node.args[0].value
    elif isinstance(node, cst.Attribute) and node.attr.value == "__class__":
        node = node.value
    parameters = method.params.params
    return (
        isinstance(node, cst.Name) and bool(parameters) and node.value == parameters[0].name.value
    )


def _keeps(source: Source, node: cst.BaseExpression) -> bool:
    """Whether a use keeps or calls the object itself, not a copy, nor just looks at it."""
    parent = source.parent(node)
    if isinstance(parent, cst.AssignTarget):
        return False
    if isinstance(parent, (cst.AnnAssign, cst.AugAssign)) and parent.target is node:
        return False
    if isinstance(parent, cst.Attribute):
        return parent.attr.value == "forward"
    if isinstance(parent, (cst.Comparison, cst.ComparisonTarget, cst.FormattedStringExpression)):
        return False
    if isinstance(parent, (cst.UnaryOperation, cst.Del, cst.Expr)):
        return False
    if isinstance(parent, cst.Arg):
        return last_name(source.parent(parent)) not in _LOOKS | {"deepcopy"}
    return True


def _fix(
    source: Source, classes: Classes, cls: ModuleClass, name: str, uses: List[_Use]
) -> Optional[List[Edit]]:
    """Make copies where the object is handed out, or, where it is called, in the constructor."""
    spelled = source.deepcopy()
    if spelled is None or classes.makes_names(cls):
        return None
    deepcopy, edits = spelled
    running = {method.function for other in classes.all for method in classes.running(other)}
    calls = [use for use in uses if _is_called(source, use.node)]
    for use in uses:
        if use in calls:
            continue
        # The class attribute would hide one of the instance that has its name.
        if use.method in running or _is_stored_as(source, use.node, name):
            return None
        start, end = source.start(use.node), source.end(use.node)
        edits.append(Edit(start, end, "{}({})".format(deepcopy, source.text(start, end))))
    new = free_name(name, classes.identifiers(cls).__contains__)
    made = []
    for use in calls:
        if use.owner is None or use.method not in running or not receiver(use.method):
            return None
        if use.owner not in made:
            made.append(use.owner)
            edit = _make(source, use.owner, new, name, deepcopy)
            if edit is None:
                return None
            edits.append(edit)
        start, end = source.start(use.node), source.end(use.node)
        edits.append(Edit(start, end, "{}.{}".format(receiver(use.method), new)))
    return edits


def _is_called(source: Source, node: cst.BaseExpression) -> bool:
    """Whether a module is called: ``m(x)`` or ``m.forward(x)``."""
    parent = source.parent(node)
    if isinstance(parent, cst.Attribute):
        return True
    return isinstance(parent, cst.Call) and parent.func is node


def _is_stored_as(source: Source, node: cst.BaseExpression, name: str) -> bool:
    """Whether a use is in the value of ``self.name = ...``."""
    statement = source.statement(node)
    return any(
        isinstance(target, cst.Attribute)
        and target.attr.value == name
        and isinstance(source.parent(target), (cst.AssignTarget, cst.AnnAssign))
        for target in source.walk(statement)
    )


def _make(source: Source, owner: ModuleClass, new: str, name: str, deepcopy: str) -> Optional[Edit]:
    """Copy the class attribute in the constructor, as soon as it can hold modules."""
    init = owner.methods.get("__init__")
    for line in init.body.body if init is not None else ():
        if not isinstance(line, cst.SimpleStatementLine) or not source.owns_lines(line):
            continue
        call = line.body[0].value if isinstance(line.body[0], cst.Expr) else None
        if (
            init is not None
            and isinstance(call, cst.Call)
            and isinstance(call.func, cst.Attribute)
            and call.func.attr.value == "__init__"
            and is_super(call.func.value)
        ):
            text = "{0}.{1} = {2}({0}.{3})".format(receiver(init), new, deepcopy, name)
            return source.insert_after(line, [text])
    return None


def _defaults(source: Source, classes: Classes, cls: ModuleClass) -> Iterator[Problem]:
    """Find modules that are default arguments: made once, when the method is defined."""
    init = cls.methods.get("__init__")
    if init is None:
        return
    for parameter in [*init.params.params, *init.params.kwonly_params]:
        if parameter.default is None or not classes.is_made(parameter.default):
            continue
        name = parameter.name.value
        yield Problem(
            source.error(
                "R4",
                "shared-module",
                parameter,
                "every {} that is made without {} gets one {} object".format(
                    cls.name, name, last_name(parameter.default)
                ),
                "let the default be None and make the module in __init__",
            ),
            None,
        )
