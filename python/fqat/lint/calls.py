"""R4: no module is called twice in one run of forward.

The calls of forward are followed in the order in which they run, through the methods of the class
that it calls. The branches of an ``if`` are alternatives. Further calls get modules of their own:
``self.relu = nn.ReLU()`` is followed by ``self.relu1 = nn.ReLU()``, and what has weights, or may
have them, is copied, so that it starts with the same.
"""

from typing import Dict, Iterator, List, NamedTuple, Optional, Set, Tuple

import libcst as cst

from fqat.findings import Finding
from fqat.lint.classes import (
    Classes,
    Method,
    ModuleClass,
    is_super,
    last_name,
    own_attribute,
    receiver,
    super_lookup,
)
from fqat.lint.source import Edit, Problem, Source, free_name

# Modules whose weights are results; copy.deepcopy refuses those.
_UNCOPYABLE = {"weight_norm", "spectral_norm"}


class _Call(NamedTuple):
    """A call of a module in a run of forward."""

    module: cst.BaseExpression
    owner: ModuleClass
    arms: Tuple[Tuple[object, int], ...]
    is_repeated: bool


class _Frame(NamedTuple):
    """Where a run is: in which method, and under which conditions."""

    owner: ModuleClass
    instance: str
    functions: Dict[str, cst.FunctionDef]
    stack: Tuple[cst.CSTNode, ...]
    arms: Tuple[Tuple[object, int], ...] = ()
    in_loop: bool = False
    caller_in_loop: bool = False

    def arm(self, branch: cst.CSTNode, number: int) -> "_Frame":
        """One of the alternatives of a branch."""
        return self._replace(arms=self.arms + (((self.stack, branch), number),))


class _Run:
    """A run of one method on an instance of a class."""

    def __init__(self, source: Source, classes: Classes, cls: ModuleClass, entry: Method) -> None:
        self._source = source
        self._cls = cls
        self._modules = {
            name
            for name, values in classes.assigned(cls).items()
            if any(classes.is_module(value) for value in values) and not classes.is_nop(cls, name)
        }
        self.calls: Dict[str, List[_Call]] = {}
        if entry.owner is not None:
            function = entry.function
            frame = _Frame(entry.owner, receiver(function), {}, (function,))
            self._block(function.body, frame)

    def _block(self, block: cst.BaseSuite, frame: _Frame) -> None:
        for statement in block.body:
            self._visit(statement, frame)
            # What comes after `if c: return` is its other branch.
            if isinstance(statement, cst.If):
                if _ends(statement.body):
                    frame = frame.arm(statement, 1)
                elif statement.orelse is not None and _ends(statement.orelse):
                    frame = frame.arm(statement, 0)

    def _visit(self, node: cst.CSTNode, frame: _Frame) -> None:
        if isinstance(node, cst.BaseSuite):
            self._block(node, frame)
        elif isinstance(node, (cst.If, cst.IfExp)):
            self._visit(node.test, frame)
            self._visit(node.body, frame.arm(node, 0))
            if node.orelse is not None:
                self._visit(node.orelse, frame.arm(node, 1))
        elif isinstance(node, (cst.For, cst.CompFor)):
            for child in self._source.children(node):
                once = child is node.iter or isinstance(child, cst.Else)
                self._visit(child, frame if once else frame._replace(in_loop=True))
        elif isinstance(node, cst.BaseComp):
            for child in self._source.children(node):
                once = isinstance(child, cst.CompFor)
                self._visit(child, frame if once else frame._replace(in_loop=True))
        elif isinstance(node, cst.While):
            self._children(node, frame._replace(in_loop=True))
        elif isinstance(node, (cst.Try, cst.Match)):
            cases = list(node.handlers if isinstance(node, cst.Try) else node.cases)
            for child in self._source.children(node):
                is_case = any(child is case for case in cases)
                self._visit(child, frame.arm(node, cases.index(child)) if is_case else frame)
        elif isinstance(node, cst.FunctionDef):
            frame.functions[node.name.value] = node
        elif isinstance(node, cst.Return):
            # Even in a loop, it runs once.
            self._children(node, frame._replace(in_loop=False))
        else:
            self._children(node, frame)
            if isinstance(node, cst.Call):
                self._call(node, frame)

    def _children(self, node: cst.CSTNode, frame: _Frame) -> None:
        for child in self._source.children(node):
            self._visit(child, frame)

    def _call(self, call: cst.Call, frame: _Frame) -> None:
        function = call.func
        if isinstance(function, cst.Name):
            if function.value in frame.functions:
                self._enter(call, frame.functions[function.value], frame, frame.functions)
            return
        if isinstance(function, cst.Attribute):
            if is_super(function.value):
                self._enter_method(call, super_lookup(frame.owner, function.attr.value), frame)
                return
            if function.attr.value == "forward":
                function = function.value
        name = own_attribute(function, frame.instance)
        found = self._cls.lookup(name) if name is not None else None
        if found is not None:
            self._enter_method(call, found, frame)
        elif self._is_module(function, frame.instance):
            event = _Call(function, frame.owner, frame.arms, frame.in_loop or frame.caller_in_loop)
            self.calls.setdefault(self._source.code(function), []).append(event)

    def _enter_method(
        self, call: cst.Call, found: Optional[Tuple[ModuleClass, cst.FunctionDef]], frame: _Frame
    ) -> None:
        if found is not None:
            owner, function = found
            inner = frame._replace(owner=owner, instance=receiver(function))
            self._enter(call, function, inner, {})

    def _enter(
        self,
        call: cst.Call,
        function: cst.FunctionDef,
        frame: _Frame,
        functions: Dict[str, cst.FunctionDef],
    ) -> None:
        """Run a function that `call` calls, unless it runs already."""
        if function not in frame.stack:
            inner = frame._replace(
                functions=functions,
                stack=frame.stack + (call, function),
                in_loop=False,
                caller_in_loop=frame.in_loop or frame.caller_in_loop,
            )
            self._block(function.body, inner)

    def _is_module(self, node: cst.CSTNode, instance: str) -> bool:
        """Whether a node is ``self.m``, or ``self.m[0]`` with a constant."""
        while isinstance(node, cst.Subscript):
            if self._source.has(node.slice[0], cst.Name):
                return False
            node = node.value
        return own_attribute(node, instance) in self._modules


def _ends(node: cst.CSTNode) -> bool:
    """Whether nothing that follows in the same block runs after `node`."""
    if isinstance(node, cst.Else):
        node = node.body
    if isinstance(node, cst.BaseSuite):
        return bool(node.body) and _ends(node.body[-1])
    if isinstance(node, cst.SimpleStatementLine):
        return _ends(node.body[-1])
    if isinstance(node, cst.If):
        return node.orelse is not None and _ends(node.body) and _ends(node.orelse)
    return isinstance(node, (cst.Return, cst.Raise, cst.Continue, cst.Break))


def _exclude(a: _Call, b: _Call) -> bool:
    """Whether no run comes to both."""
    arms = dict(a.arms)
    return any(arms.get(branch, number) != number for branch, number in b.arms)


class _Repeats:
    """The calls of one module in all methods that may run as forward.

    Attributes:
        numbers: Which of its copies each call needs: 0 for the module itself.
        is_fixable: Whether copies are enough: not in a loop, nor where a method runs twice.
    """

    def __init__(self, runs: List[List[_Call]]) -> None:
        self.numbers: Dict[cst.BaseExpression, int] = {}
        self.in_loop = any(call.is_repeated for calls in runs for call in calls)
        self.owners = {call.owner for calls in runs for call in calls}
        self.is_fixable = not self.in_loop
        conflicts: Dict[cst.BaseExpression, Set[cst.BaseExpression]] = {}
        for calls in runs:
            for index, call in enumerate(calls):
                mine = conflicts.setdefault(call.module, set())
                for other in calls[:index]:
                    if not _exclude(call, other):
                        mine.add(other.module)
                        conflicts[other.module].add(call.module)
        for module, others in conflicts.items():
            self.is_fixable &= module not in others
            taken = {self.numbers[other] for other in others if other in self.numbers}
            self.numbers[module] = min(set(range(len(taken) + 1)) - taken)
        self.places = [module for module in conflicts if conflicts[module] or self.in_loop]


def check(source: Source, classes: Classes) -> Iterator[Problem]:
    """Find modules that are called several times."""
    seen: Set[cst.BaseExpression] = set()
    for cls in classes.all:
        runs = [_Run(source, classes, cls, entry).calls for entry in classes.entries(cls)]
        for key in {key: None for run in runs for key in run}:
            repeats = _Repeats([run[key] for run in runs if key in run])
            # A subclass has the calls of its base.
            if not repeats.places or repeats.places[0] in seen:
                continue
            seen.update(repeats.places)
            edits = None
            if repeats.is_fixable and repeats.owners == {cls}:
                edits = _fix(source, classes, cls, repeats)
            yield Problem(_finding(source, cls, key, repeats), edits)


def _finding(source: Source, cls: ModuleClass, key: str, repeats: _Repeats) -> Finding:
    first, *others = repeats.places
    count = max(repeats.numbers.values()) + 1
    if repeats.in_loop:
        message = "{} is called in a loop of {}".format(key, cls.name)
        remedy = "make an nn.ModuleList with a module for each round"
    elif not others:
        message = "{} is called in a method that {} calls several times".format(key, cls.name)
        remedy = "make a module for each call in __init__"
    else:
        message = "{} is called {} times by {}".format(key, max(count, 2), cls.name)
        remedy = "make a module for each call in __init__"
        if isinstance(first, cst.Attribute):
            remedy += ": {}, self.{}".format(key, free_name(first.attr.value, lambda _: False))
            remedy += ", ..." if count > 2 else ""
    related = [source.place(other, "it is called again here") for other in others]
    return source.error("R4", "repeated-call", first, message, remedy, related)


# The fix ------------------------------------------------------------------------------------------


def _fix(
    source: Source, classes: Classes, cls: ModuleClass, repeats: _Repeats
) -> Optional[List[Edit]]:
    """Give each call a module of its own."""
    first = repeats.places[0]
    if not isinstance(first, cst.Attribute) or classes.makes_names(cls):
        return None
    attribute = first.attr.value
    names = [attribute]
    taken = classes.identifiers(cls)
    while len(names) <= max(repeats.numbers.values()):
        names.append(free_name(attribute, lambda name: name in taken or name in names))
    edits = _make_copies(source, classes, cls, names, set(repeats.numbers))
    if edits is None:
        return None
    for module, number in repeats.numbers.items():
        if number:
            assert isinstance(module, cst.Attribute)
            name = module.attr
            edits.append(Edit(source.start(name), source.end(name), names[number]))
    return edits


def _make_copies(
    source: Source,
    classes: Classes,
    cls: ModuleClass,
    names: List[str],
    calls: Set[cst.BaseExpression],
) -> Optional[List[Edit]]:
    """Make the modules `names[1:]` in the constructor, equal to the one that is there."""
    init = cls.methods.get("__init__")
    if init is None:
        return None
    assigns = _assigns(source, init, names[0])
    if not assigns or not _is_only_there(source, classes, cls, init, names[0], assigns, calls):
        return None
    instance = receiver(init)
    is_named_later, is_touched = _later(source, classes, cls, init, names[0], assigns)
    values = [_value(line) for line in assigns]
    if all(classes.is_stateless(value) for value in values) and not is_named_later:
        return [
            source.insert_after(
                line,
                ["{}.{} = {}".format(instance, name, source.code(value)) for name in names[1:]],
            )
            for line, value in zip(assigns, values)
        ]
    spelled = source.deepcopy()
    if spelled is None or any(
        isinstance(node, cst.Call) and last_name(node) in _UNCOPYABLE
        for value in values
        for node in source.walk(value)
    ):
        return None
    deepcopy, edits = spelled
    lines = [
        "{0}.{1} = {2}({0}.{3})".format(instance, name, deepcopy, names[0]) for name in names[1:]
    ]
    if not is_named_later and not is_touched:
        return edits + [source.insert_after(line, lines) for line in assigns]
    # Weights that are set later in the constructor are copied at its end; hooks may know whom they
    # are of.
    if any("hook" in name for name in source.names(init)):
        return None
    if source.has(init.body, cst.Return) or any(
        source.parent(line) is not init.body for line in assigns
    ):
        return None
    end = init.body.body[-1]
    if not isinstance(end, (cst.SimpleStatementLine, cst.BaseCompoundStatement)):
        return None
    offset = source.line_end(source.end(end))
    edit = source.insert_after(assigns[0], lines)
    return edits + [edit._replace(start=offset, end=offset)]


def _value(line: cst.SimpleStatementLine) -> cst.BaseExpression:
    assign = line.body[0]
    assert isinstance(assign, (cst.Assign, cst.AnnAssign)) and assign.value is not None
    return assign.value


def _assigns(
    source: Source, init: cst.FunctionDef, attribute: str
) -> List[cst.SimpleStatementLine]:
    """The lines ``self.attribute = value`` of a constructor."""
    found = []
    for node in source.walk(init.body):
        if not isinstance(node, cst.SimpleStatementLine) or not source.owns_lines(node):
            continue
        assign = node.body[0]
        if isinstance(assign, cst.Assign) and len(assign.targets) == 1:
            target: cst.BaseExpression = assign.targets[0].target
        elif isinstance(assign, cst.AnnAssign) and assign.value is not None:
            target = assign.target
        else:
            continue
        if own_attribute(target, receiver(init)) == attribute:
            found.append(node)
    return found


def _is_only_there(
    source: Source,
    classes: Classes,
    cls: ModuleClass,
    init: cst.FunctionDef,
    attribute: str,
    assigns: List[cst.SimpleStatementLine],
    calls: Set[cst.BaseExpression],
) -> bool:
    """Whether nobody but the constructor sets the module, or changes it."""
    running = {method.function for method in classes.running(cls)}
    family = [other.node for other in classes.family(cls)]
    for node in source.walk(source.module):
        if not isinstance(node, cst.Attribute) or node.attr.value != attribute or node in calls:
            continue
        around = set(source.ancestors(node))
        is_own = isinstance(node.value, cst.Name) and any(other in around for other in family)
        if isinstance(node.value, cst.Name) and node.value.value == "self" and not is_own:
            continue  # an attribute of some other class
        parent = source.parent(node)
        if isinstance(parent, (cst.AssignTarget, cst.AnnAssign, cst.Del)):
            if not any(line in around for line in assigns):
                return False
        elif is_own and init not in around and not running & around:
            return False
    return True


def _later(
    source: Source,
    classes: Classes,
    cls: ModuleClass,
    init: cst.FunctionDef,
    attribute: str,
    assigns: List[cst.SimpleStatementLine],
) -> Tuple[bool, bool]:
    """What the constructor does after it made a module.

    Returns:
        Whether it names the module again, and whether it hands out the whole instance.
    """
    instance = receiver(init)
    own = classes.assigned(cls)
    is_named = is_touched = False
    for node in source.walk(init.body):
        if not isinstance(node, (cst.Attribute, cst.Name)):
            continue
        parent = source.parent(node)
        if source.start(node) < source.end(assigns[0]):
            continue
        if own_attribute(node, instance) is not None and isinstance(node, cst.Attribute):
            is_set = isinstance(parent, (cst.AssignTarget, cst.AnnAssign))
            is_named |= node.attr.value == attribute and not is_set
            is_touched |= node.attr.value not in own
        elif isinstance(node, cst.Name) and node.value == instance:
            is_in_super = isinstance(parent, cst.Arg) and is_super(source.parent(parent))
            is_touched |= not isinstance(parent, cst.Attribute) and not is_in_super
    return is_named, is_touched
