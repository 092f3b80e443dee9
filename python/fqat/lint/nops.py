"""R1: an out_nop right behind each output; and R3, where it marks an operator of the tail instead.

What is seen is one block of statements at a time. A nop that is called too late moves behind what
it marks, and a nop on ``torch.cat`` of layers becomes a nop on each. Where that could change what
is computed, the finding says what to do.
"""

import re
from typing import Dict, Iterator, List, Optional, Tuple

import libcst as cst

from fqat.findings import Finding
from fqat.lint.body import Assign, Body, bodies, called, written
from fqat.lint.classes import Classes
from fqat.lint.source import Edit, Problem, Source


def check(source: Source, classes: Classes) -> Iterator[Problem]:
    """Find out_nops that do not directly follow a layer."""
    for body in bodies(source, classes):
        for node in source.walk(body.function.body):
            if isinstance(node, cst.IndentedBlock):
                yield from _late_nops(body, node)
            elif isinstance(node, cst.Call):
                yield from _nested_nop(body, node)


def _late_nops(body: Body, block: cst.IndentedBlock) -> Iterator[Problem]:
    """Find nops that do not directly follow the layer that they mark."""
    source = body.source
    last: Dict[str, Assign] = {}
    for index, statement in enumerate(block.body):
        late: List[Tuple[Assign, Assign]] = []
        nops = [assign for assign in body.assigns(statement) if body.is_nop(assign.value)]
        for nop in nops:
            producer = last.get(_marked(source, nop.value))
            if producer is not None and body.tail(producer.value):
                yield _nop_of_tail(body, block, nop, producer)
            if producer is None or not body.is_layer(producer.value):
                continue
            between = block.body[block.body.index(producer.statement) + 1 : index]
            later = [
                other.value
                for other in body.assigns(producer.statement)
                if source.start(other.value) > source.end(producer.value)
            ]
            if any(body.has_event(other) for other in [*between, *later]):
                late.append((nop, producer))
        if late:
            yield _late(body, block, nops, late, last)
        for assign in body.assigns(statement):
            last[assign.target] = assign
        if not body.assigns(statement):
            for name in written(body, statement):
                last = {target: old for target, old in last.items() if name not in target}


def _marked(source: Source, nop: cst.BaseExpression) -> str:
    """What a nop is called on."""
    assert isinstance(nop, cst.Call)
    return source.code(nop.args[0].value)


def _late(
    body: Body,
    block: cst.IndentedBlock,
    nops: List[Assign],
    late: List[Tuple[Assign, Assign]],
    last: Dict[str, Assign],
) -> Problem:
    source = body.source
    nop, layer = (source.code(called(assign.value)) for assign in late[0])
    finding = source.error(
        "R1",
        "late-nop",
        nops[0].statement,
        "{} is not called right behind {}".format(nop, layer),
        "call it before anything else: x = {}({}(...))".format(nop, layer),
        [source.place(producer.value, "this is what it marks") for _, producer in late],
    )
    return Problem(finding, _move_nops(body, block, nops, last))


def _move_nops(
    body: Body, block: cst.IndentedBlock, nops: List[Assign], last: Dict[str, Assign]
) -> Optional[List[Edit]]:
    """Call the nops of a statement right behind what they mark."""
    source = body.source
    statement = nops[0].statement
    if len(nops) != len(body.assigns(statement)):
        return None
    producers = []
    for nop in nops:
        producer = last.get(_marked(source, nop.value))
        if producer is None or not body.is_layer(producer.value):
            return None
        if not _may_move_up(body, block, nop, producer):
            return None
        producers.append(producer)
    if len(nops) == 1 and len(body.assigns(producers[0].statement)) == 1:
        start, end = source.head(statement), source.line_end(source.end(statement))
        edit = source.insert_after(producers[0].statement, [])
        text = source.text(start, end)
        if not text.endswith(("\n", "\r")):
            text += source.newline
        return [Edit(start, end, ""), edit._replace(text=text)]
    if any(nop.target != _marked(source, nop.value) for nop in nops):
        return None
    assert isinstance(statement, cst.SimpleStatementLine)
    edits = [source.remove(statement)]
    for nop, producer in zip(nops, producers):
        start, end = source.start(producer.value), source.end(producer.value)
        text = "{}({})".format(source.code(called(nop.value)), source.text(start, end))
        edits.append(Edit(start, end, text))
    return edits


def _may_move_up(body: Body, block: cst.IndentedBlock, nop: Assign, producer: Assign) -> bool:
    """Whether nobody in between sees that a nop is called earlier."""
    texts = nop.target, _marked(body.source, nop.value)
    words = [re.findall(r"[^\W\d]\w*", text) for text in texts]
    start = block.body.index(producer.statement) + 1
    for statement in block.body[start : block.body.index(nop.statement)]:
        # Who reads the value would read the nop's result from now on.
        if any(found[0] in body.source.names(statement) for found in words):
            return False
        if any(name in written(body, statement) for found in words for name in found):
            return False
    return True


def _nested_nop(body: Body, node: cst.Call) -> Iterator[Problem]:
    """Find nops on an operator of the tail: ``nop(torch.cat((a, b), 1))``."""
    source = body.source
    if not body.is_nop(node) or not body.tail(node.args[0].value):
        return
    value = node.args[0].value
    edits = _distribute(body, source.code(node.func), value)
    if edits:
        edits.insert(0, Edit(source.start(node), source.start(value), ""))
        edits.append(Edit(source.end(value), source.end(node), ""))
    yield Problem(_marks_tail(body, node, value), edits)


def _nop_of_tail(body: Body, block: cst.IndentedBlock, nop: Assign, producer: Assign) -> Problem:
    """A nop on a variable that an operator of the tail has set."""
    source = body.source
    line = nop.statement
    edits = None
    if (
        nop.target == producer.target
        and isinstance(line, cst.SimpleStatementLine)
        and len(body.assigns(line)) == 1
        and _may_move_up(body, block, nop, producer)
    ):
        edits = _distribute(body, source.code(called(nop.value)), producer.value)
        if edits:
            edits.append(source.remove(line))
    return Problem(_marks_tail(body, nop.value, producer.value), edits)


def _marks_tail(body: Body, nop: cst.BaseExpression, tail: cst.BaseExpression) -> Finding:
    name = body.tail(tail)
    return body.source.error(
        "R3",
        "early-tail",
        nop,
        "{}() runs before {}, which marks its result".format(name, body.source.code(called(nop))),
        "call an out_nop on each output of a layer instead, and {}() after them".format(name),
    )


def _distribute(body: Body, nop: str, tail: cst.BaseExpression) -> Optional[List[Edit]]:
    """Call a nop on each of the layers whose outputs ``torch.cat`` puts together."""
    edits = []
    assert isinstance(tail, cst.Call)
    for part in _parts(body, tail):
        edits.append(Edit(body.source.start(part), body.source.start(part), nop + "("))
        edits.append(Edit(body.source.end(part), body.source.end(part), ")"))
    return edits or None


def _parts(body: Body, call: cst.Call) -> List[cst.BaseExpression]:
    """The layers whose outputs ``torch.cat`` puts together; none if there is something else."""
    if body.source.qualified(call.func) not in ("torch.cat", "torch.concat") or not call.args:
        return []
    values = call.args[0].value
    if call.args[0].keyword is not None or not isinstance(values, (cst.Tuple, cst.List)):
        return []
    parts = [element.value for element in values.elements]
    return parts if all(body.is_layer(part) for part in parts) else []
