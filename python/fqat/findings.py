"""What breaks a rule of the kit, and where."""

from typing import List, NamedTuple, Optional


class Place(NamedTuple):
    """A place in the model and in its Python source.

    Attributes:
        instance: Path of a module as ``named_modules()`` spells it, ``<root>`` for the model
            itself, empty where none is known.
        file: Python file, or None.
        line: Line in it, counted from 1, or None.
        message: What is there.
    """

    instance: str
    file: Optional[str]
    line: Optional[int]
    message: str


class Finding(NamedTuple):
    """One cause that breaks a rule.

    Attributes:
        rule: ``R1`` to ``R5``.
        severity: ``error``, or ``note`` where the kit takes the model all the same.
        kind: What is wrong, in a word that does not change with the model.
        instance: Path of the module, see `Place`.
        file: Python file, or None.
        line: Line in it, counted from 1, or None.
        message: What is wrong, in one line.
        remedy: What to change in Python, in one line.
        related: The other places, in the order in which they run.
    """

    rule: str
    severity: str
    kind: str
    instance: str
    file: Optional[str]
    line: Optional[int]
    message: str
    remedy: str
    related: List[Place] = []

    def __str__(self) -> str:
        """``file:line: severity: rule message; remedy``, as compilers print it."""
        where = self.instance or "model"
        if self.file is not None:
            where = self.file if self.line is None else "{}:{}".format(self.file, self.line)
        return "{}: {}: {} {}; {}".format(
            where, self.severity, self.rule, self.message, self.remedy
        )
