"""The classes of a file that are modules, and what their forward runs."""

import re
from typing import Dict, Iterator, List, NamedTuple, Optional, Set, Tuple

import libcst as cst

from fqat.lint.source import Source

_NOP_NAME = re.compile(r"out_nops?(_?\d+)?")
# Calls whose result is no module, though an attribute that holds it may be called.
_FUNCTIONS = re.compile(r"(functools\.)?partial|builtins\..*|torch\.(?!nn\.|jit\.).*|math\..*")
_WRAPPERS = re.compile(r"torch\.(jit\.script|compile|nn\.utils\..*)|copy\.(deep)?copy")
_NO_MODULES = re.compile(
    r"torch\.nn\.(functional\..*|init\..*|.*Parameter|Buffer|ParameterList|ParameterDict)"
)
# Modules without weights or other state: a second one made by the same call is a copy.
_STATELESS = re.compile(
    r"torch\.nn\.(modules\.\w+\.)?(ReLU6?|SiLU|GELU|ELU|CELU|SELU|Mish|LeakyReLU|Hardswish|"
    r"Hardsigmoid|Hardtanh|Sigmoid|LogSigmoid|Tanh|Softmax|LogSoftmax|Softmax2d|Softplus|Identity|"
    r"Flatten|Unflatten|Upsample\w*|Pixel(Un)?[sS]huffle|ChannelShuffle|Fold|Unfold|"
    r"(Alpha)?Dropout[123]?d?|\w*Pad[123]d|(Adaptive)?(Max|Avg)Pool[123]d)"
)
# Modules that have an argument `inplace`, and those whose result is no view of their argument.
_MAY_BE_IN_PLACE = re.compile(
    r"(Leaky|R)?ReLU6?|SiLU|C?ELU|SELU|Mish|Hard\w+|Threshold|RReLU|\w*Dropout\w*"
)
_FRESH = re.compile(r"torch\.nn\.(Conv(Transpose)?[123]d|Linear|BatchNorm[123]d)")


class ModuleClass:
    """A class of the file that is an ``nn.Module``.

    Attributes:
        node: The class.
        name: Its name.
        bases: Those of its base classes that are in the file.
        methods: Its own methods.
    """

    def __init__(self, node: cst.ClassDef, bases: List["ModuleClass"]) -> None:
        """Wrap `node`."""
        self.node = node
        self.name = node.name.value
        self.bases = bases
        self.methods = {
            statement.name.value: statement
            for statement in node.body.body
            if isinstance(statement, cst.FunctionDef)
        }

    def lineage(self) -> Iterator["ModuleClass"]:
        """The class and its bases, as methods are looked up."""
        yield self
        for base in self.bases:
            yield from base.lineage()

    def lookup(self, method: str) -> Optional[Tuple["ModuleClass", cst.FunctionDef]]:
        """A method, and the class that defines it."""
        for cls in self.lineage():
            if method in cls.methods:
                return cls, cls.methods[method]
        return None


class Method(NamedTuple):
    """A function that forward runs, and the class that it is a method of, if it is one."""

    owner: Optional[ModuleClass]
    function: cst.FunctionDef


class Classes:
    """The module classes of a file."""

    def __init__(self, source: Source) -> None:
        """Find them in `source`."""
        self.source = source
        self.all: List[ModuleClass] = []
        self._by_name: Dict[str, ModuleClass] = {}
        self._others: Set[str] = set()
        self.functions = {
            statement.name.value: statement
            for statement in source.module.body
            if isinstance(statement, cst.FunctionDef)
        }
        for node in source.walk(source.module):
            if isinstance(node, cst.ClassDef):
                self._add(node)
        self.replaced_forwards = list(self._find_replaced_forwards())
        self._running: Dict[ModuleClass, List[Method]] = {}
        self._assigned: Dict[ModuleClass, Dict[str, List[cst.BaseExpression]]] = {}

    def _add(self, node: cst.ClassDef) -> None:
        bases, is_module = [], False
        for argument in node.bases:
            name = self.source.qualified(argument.value)
            if name in self._by_name:
                bases.append(self._by_name[name])
            elif name in self._others or name == "builtins.object":
                continue
            # What an imported base is, only its use tells.
            elif name.startswith("torch.nn.") or (
                not name.startswith("torch.autograd") and _has_forward(node)
            ):
                is_module = True
        if not bases and not is_module:
            self._others.add(self.source.qualified(node))
            return
        cls = ModuleClass(node, bases)
        self.all.append(cls)
        self._by_name[self.source.qualified(node)] = cls

    def of(self, name: cst.CSTNode) -> Optional[ModuleClass]:
        """The class of this file that an expression names."""
        return self._by_name.get(self.source.qualified(name))

    def family(self, cls: ModuleClass) -> List[ModuleClass]:
        """The class, those that it inherits from, and those that inherit from any of these."""
        above = list(cls.lineage())
        return [
            other
            for other in self.all
            if other in above or any(base in above for base in other.lineage())
        ]

    def identifiers(self, cls: ModuleClass) -> Set[str]:
        """Every identifier in the family of `cls`, and every string: it may name an attribute."""
        found = {name for other in self.family(cls) for name in self.source.names(other.node)}
        for other in self.family(cls):
            for node in self.source.walk(other.node):
                if isinstance(node, cst.SimpleString):
                    found.add(str(node.evaluated_value))
        return found

    def makes_names(self, cls: ModuleClass) -> bool:
        """Whether the family of `cls` has attributes whose names are made when it runs."""
        return any(
            isinstance(node, cst.Call)
            and last_name(node) in ("setattr", "add_module", "register_module")
            and not any(isinstance(argument.value, cst.SimpleString) for argument in node.args)
            for other in self.family(cls)
            for node in self.source.walk(other.node)
        )

    # What runs -------------------------------------------------------------------------------

    def _find_replaced_forwards(self) -> Iterator[Tuple[cst.Attribute, cst.BaseExpression]]:
        """Each ``x.forward = value``: the target and the value."""
        for node in self.source.walk(self.source.module):
            if isinstance(node, cst.Assign):
                for target in node.targets:
                    if _is_forward(target.target):
                        assert isinstance(target.target, cst.Attribute)
                        yield target.target, node.value
            elif isinstance(node, cst.AnnAssign) and node.value and _is_forward(node.target):
                assert isinstance(node.target, cst.Attribute)
                yield node.target, node.value

    def entries(self, cls: ModuleClass) -> List[Method]:
        """`forward`, and what may be put in its place: ``forward_*`` and what the file says."""
        names = ["forward"]
        names += [name for base in cls.lineage() for name in base.methods if "forward_" in name]
        for _, value in self.replaced_forwards:
            names += [
                node.attr.value
                for node in self.source.walk(value)
                if isinstance(node, cst.Attribute)
            ]
        found = [cls.lookup(name) for name in dict.fromkeys(names)]
        return [Method(*method) for method in found if method is not None]

    def running(self, cls: ModuleClass) -> List[Method]:
        """The methods and functions of the file that run in forward."""
        if cls not in self._running:
            found = self._running[cls] = self.entries(cls)
            for method in found:
                for node in self.source.walk(method.function.body):
                    for called in self._named(node, method, cls):
                        if called not in found:
                            found.append(called)
        return self._running[cls]

    def _named(self, node: cst.CSTNode, method: Method, cls: ModuleClass) -> Iterator[Method]:
        """The function that `node` names."""
        if isinstance(node, cst.Name) and node.value in self.functions:
            if self.source.qualified(node) == node.value:
                yield Method(None, self.functions[node.value])
        elif isinstance(node, cst.Attribute) and method.owner is not None:
            found = None
            if own_attribute(node, receiver(method.function)) is not None:
                found = cls.lookup(node.attr.value)
            elif is_super(node.value):
                found = super_lookup(method.owner, node.attr.value)
            if found is not None:
                yield Method(*found)

    # What attributes hold --------------------------------------------------------------------

    def assigned(self, cls: ModuleClass) -> Dict[str, List[cst.BaseExpression]]:
        """What the constructors of the class and of its bases in the file store in which name."""
        if cls in self._assigned:
            return self._assigned[cls]
        found = self._assigned[cls] = {}
        for owner in cls.lineage():
            init = owner.methods.get("__init__")
            if init is None:
                continue
            for node in self.source.walk(init.body):
                if isinstance(node, cst.Assign):
                    targets = [target.target for target in node.targets]
                elif isinstance(node, cst.AnnAssign):
                    targets = [node.target]
                else:
                    continue
                for target in targets:
                    name = own_attribute(target, receiver(init))
                    if name is not None and node.value is not None:
                        found.setdefault(name, []).append(node.value)
        return found

    def is_module(self, value: cst.BaseExpression) -> bool:
        """Whether a value that a constructor stores is a module, as far as one can read."""
        if isinstance(value, cst.IfExp):
            return self.is_module(value.body) or self.is_module(value.orelse)
        if isinstance(value, cst.BooleanOperation):
            return self.is_module(value.left) or self.is_module(value.right)
        if not isinstance(value, cst.Call):
            return False
        name = self.source.qualified(value.func)
        if _WRAPPERS.fullmatch(name) and value.args:
            return name.startswith("copy.") or self.is_module(value.args[0].value)
        if _FUNCTIONS.fullmatch(name) or _NO_MODULES.fullmatch(name):
            return False
        if name.startswith("torch.nn."):
            return name.rpartition(".")[2][:1].isupper()
        return name not in self._others

    def is_made(self, value: cst.BaseExpression) -> bool:
        """Whether a value is surely a module: a call of a class that is one."""
        if not isinstance(value, cst.Call) or not self.is_module(value):
            return False
        name = self.source.qualified(value.func)
        return name in self._by_name or name.startswith("torch.nn.")

    def is_stateless(self, value: cst.BaseExpression) -> bool:
        """Whether the same call makes an equal module each time."""
        if not isinstance(value, cst.Call):
            return False
        return bool(_STATELESS.fullmatch(self.source.qualified(value.func))) and not any(
            self.source.has(argument, cst.Call, cst.Subscript, cst.NamedExpr, cst.Await, cst.Yield)
            for argument in value.args
        )

    def is_pure(self, cls: ModuleClass, attribute: str) -> bool:
        """Whether a module of torch's surely does not write its argument."""
        values = self.assigned(cls).get(attribute, [])
        return bool(values) and not any(
            isinstance(node, cst.Call) and self._may_write(node)
            for value in values
            for node in self.source.walk(value)
        )

    def _may_write(self, made: cst.Call) -> bool:
        name = self.source.qualified(made.func)
        if _MAY_BE_IN_PLACE.fullmatch(name.rpartition(".")[2]):
            return bool(made.args)
        return not name.startswith(("torch.nn.", "builtins."))

    def is_fresh(self, cls: ModuleClass, attribute: str) -> bool:
        """Whether a module, or one of a list, surely returns memory of its own."""
        values = self.assigned(cls).get(attribute, [])
        return bool(values) and all(self._makes_fresh(value) for value in values)

    def _makes_fresh(self, value: cst.BaseExpression) -> bool:
        if isinstance(value, (cst.GeneratorExp, cst.ListComp)):
            return self._makes_fresh(value.elt)
        if isinstance(value, (cst.List, cst.Tuple)):
            return all(self._makes_fresh(element.value) for element in value.elements)
        if not isinstance(value, cst.Call):
            return False
        name = self.source.qualified(value.func)
        if name in ("torch.nn.Sequential", "torch.nn.ModuleList") and value.args:
            return not value.args[-1].star and self._makes_fresh(value.args[-1].value)
        return _FRESH.fullmatch(name) is not None

    def is_nop(self, cls: ModuleClass, attribute: str) -> bool:
        """Whether an attribute is an out_nop, or a list of them."""
        values = self.assigned(cls).get(attribute, [])
        if not values:
            return _NOP_NAME.fullmatch(attribute) is not None
        return all(
            self._makes_nop(value, _NOP_NAME.fullmatch(attribute) is not None) for value in values
        )

    def _makes_nop(self, value: cst.BaseExpression, is_named: bool) -> bool:
        """Whether a value is made of a class that is an out_nop."""
        for node in self.source.walk(value):
            if not isinstance(node, cst.Call):
                continue
            cls = self.of(node.func)
            if cls is not None and (is_named or cls.name == "OutNop"):
                return self._is_identity(cls)
            if last_name(node.func) == "OutNop":
                return True
        # Its name says so, and its class is in another file.
        return is_named and not any(
            self.source.qualified(node.func).startswith("torch.nn.")
            and not self.source.qualified(node.func).startswith("torch.nn.ModuleList")
            and not self.source.qualified(node.func).endswith("Identity")
            for node in self.source.walk(value)
            if isinstance(node, cst.Call)
        )

    def _is_identity(self, cls: ModuleClass) -> bool:
        """Whether forward returns its argument."""
        forward = cls.methods.get("forward")
        if forward is None or len(forward.params.params) < 2:
            return False
        last = forward.body.body[-1]
        if isinstance(last, cst.SimpleStatementLine):
            last = last.body[-1]
        return (
            isinstance(last, cst.Return)
            and isinstance(last.value, cst.Name)
            and last.value.value == forward.params.params[1].name.value
        )


def _has_forward(node: cst.ClassDef) -> bool:
    """Whether a class has a method that is called ``forward``, or may become it."""
    return any(
        isinstance(statement, cst.FunctionDef) and statement.name.value.startswith("forward")
        for statement in node.body.body
    )


def _is_forward(target: cst.BaseExpression) -> bool:
    return isinstance(target, cst.Attribute) and target.attr.value == "forward"


def receiver(method: cst.FunctionDef) -> str:
    """What a method calls its instance; empty if it has none."""
    for decorator in method.decorators:
        if last_name(decorator.decorator) in ("staticmethod", "classmethod"):
            return ""
    parameters = list(getattr(method.params, "posonly_params", ())) + list(method.params.params)
    return parameters[0].name.value if parameters else ""


def own_attribute(node: cst.CSTNode, instance: str) -> Optional[str]:
    """The name of an attribute of the instance that a method calls `instance`."""
    if (
        isinstance(node, cst.Attribute)
        and isinstance(node.value, cst.Name)
        and node.value.value == instance
    ):
        return node.attr.value
    return None


def last_name(node: cst.CSTNode) -> str:
    """The last name of ``a.b.c`` or of a call of it; empty for other expressions."""
    if isinstance(node, cst.Call):
        node = node.func
    if isinstance(node, cst.Attribute):
        node = node.attr
    return node.value if isinstance(node, cst.Name) else ""


def is_super(node: cst.CSTNode) -> bool:
    """Whether a node is ``super()`` or ``super(C, self)``."""
    return (
        isinstance(node, cst.Call)
        and isinstance(node.func, cst.Name)
        and node.func.value == "super"
    )


def super_lookup(owner: ModuleClass, method: str) -> Optional[Tuple[ModuleClass, cst.FunctionDef]]:
    """What ``super().method`` is in a method of `owner`."""
    for base in owner.bases:
        found = base.lookup(method)
        if found is not None:
            return found
    return None
