"""Runs emitted packages beside the fixed TorchScript in an old torch, and compares the bits.

python torch_1_13_worker.py PACKAGE FIXED.pt INPUTS.pt [PACKAGE FIXED.pt INPUTS.pt ...]
"""

import sys

import torch

from fqat.running import copy_inputs
from fqat.stage import find_difference, load_package


def main(arguments):
    """Print a line for each difference; return how many there are."""
    count = 0
    for folder, fixed, inputs in zip(*[iter(arguments)] * 3):
        values = torch.load(inputs)
        if not isinstance(values, (list, tuple)):
            values = (values,)
        model, script = load_package(folder).build(), torch.jit.load(fixed)
        if list(model.state_dict()) != list(script.state_dict()):
            print(folder, "has other keys")
            count += 1
        with torch.no_grad():
            torch.manual_seed(0)
            expected = script(*copy_inputs(values))
            torch.manual_seed(0)
            difference = find_difference(expected, model(*copy_inputs(values)))
        if difference is not None:
            print(folder, difference)
            count += 1
    return count


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
