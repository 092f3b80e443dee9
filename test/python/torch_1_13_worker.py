"""Loads and runs files in whatever torch the interpreter has. Needs no package of the tests'.

Reads one JSON object a line, {"files": [...], "inputs": FILE}, and answers each with a line:
for each file null, or why it does not load or run, or does not give the bits of the first.
"""

import json
import sys

import torch


def flatten(value, result):
    if isinstance(value, torch.Tensor):
        result.append(value)
    elif isinstance(value, dict):
        for key in value:
            flatten(value[key], result)
    elif isinstance(value, (list, tuple)):
        for element in value:
            flatten(element, result)
    return result


def same(a, b):
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    a, b = (v.detach().contiguous().reshape(-1).view(torch.uint8) for v in (a, b))
    return torch.equal(a, b)


def answer(request):
    inputs = torch.load(request["inputs"])
    problems, first = [], None
    for path in request["files"]:
        try:
            copies = [v.clone() if isinstance(v, torch.Tensor) else v for v in inputs]
            torch.manual_seed(0)
            with torch.no_grad():
                outputs = flatten(torch.jit.load(path)(*copies), [])
            if first is None:
                first = outputs
            equal = len(first) == len(outputs) and all(map(same, first, outputs))
            problems.append(None if equal else "other bits than the first file")
        except Exception as error:
            problems.append(str(error)[:500])
    return problems


print(json.dumps(torch.__version__), flush=True)
for line in sys.stdin:
    print(json.dumps(answer(json.loads(line))), flush=True)
