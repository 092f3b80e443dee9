"""Makes PyTorch models obey the rules of a fixed-point quantisation-aware-training kit."""

import importlib
import sys
import types
from typing import TYPE_CHECKING, Any

from .findings import Finding, Place
from .program import FqatError

if TYPE_CHECKING:
    from . import dump, ema, live
    from .stage import check, fix, prepare

__all__ = ["Finding", "FqatError", "Place", "check", "dump", "ema", "fix", "live", "prepare"]


class _Package(types.ModuleType):
    """Imports what needs torch when it is asked for: `python -m fqat lint` does without.

    A class, because Python 3.6 asks no function of a module's.
    """

    def __getattr__(self, name: str) -> Any:
        if name in ("check", "fix", "prepare"):
            return getattr(importlib.import_module("fqat.stage"), name)
        if name in ("dump", "ema", "live"):
            return importlib.import_module("fqat." + name)
        raise AttributeError("module 'fqat' has no attribute '{}'".format(name))


sys.modules[__name__].__class__ = _Package
