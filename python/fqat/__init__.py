"""Makes PyTorch models obey the rules of a fixed-point quantisation-aware-training kit."""

from .findings import Finding, Place
from .program import FqatError
from .stage import check, fix, prepare

__all__ = ["Finding", "FqatError", "Place", "check", "fix", "prepare"]
