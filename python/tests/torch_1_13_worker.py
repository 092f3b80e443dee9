"""Runs emitted packages beside the fixed TorchScript in an old torch, and compares the bits.

python torch_1_13_worker.py PACKAGE FIXED.pt INPUTS.pt [PACKAGE FIXED.pt INPUTS.pt ...]
"""

import importlib.util
import sys

import torch

from fqat.running import copy_inputs
from fqat.stage import _difference


def build(folder):
    """Return the model of the package in a folder."""
    name = "package_{}".format(len(sys.modules))
    spec = importlib.util.spec_from_file_location(
        name, folder + "/__init__.py", submodule_search_locations=[folder]
    )
    package = importlib.util.module_from_spec(spec)
    sys.modules[name] = package
    spec.loader.exec_module(package)
    return package.build()


def main(arguments):
    """Print a line for each difference; return how many there are."""
    count = 0
    for folder, fixed, inputs in zip(*[iter(arguments)] * 3):
        values = torch.load(inputs)
        if not isinstance(values, (list, tuple)):
            values = (values,)
        model, script = build(folder), torch.jit.load(fixed)
        if list(model.state_dict()) != list(script.state_dict()):
            print(folder, "has other keys")
            count += 1
        with torch.no_grad():
            torch.manual_seed(0)
            expected = script(*copy_inputs(values))
            torch.manual_seed(0)
            difference = _difference(expected, model(*copy_inputs(values)))
        if difference is not None:
            print(folder, difference)
            count += 1
    return count


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
