"""Makes the averaged copy of a model (EMA) compute with what training has changed since."""

import warnings
from typing import List, Optional, Set

from torch import nn

# Where trainers keep the averaged model: `.ema` of a ModelEMA as YOLO has it, `.module` of what
# wraps a model, `.model` of what trains one. The averaged one is looked for first.
_HOLDERS = ("ema", "module", "model")


def run_fix_preprocess(model_or_ema: object) -> List[str]:
    """Calls ``set_run_fix_preprocess()`` on every module that has it.

    The kit's layers make their fixed-point constants (rounded weights, scales) when they are
    calibrated or trained, and keep them. An averaged copy is neither: its parameters change, its
    constants do not, and its accuracy stands still. Call this before each evaluation of the copy.

    Args:
        model_or_ema: The averaged model, or what holds it: an ``nn.Module`` is taken as it is
            (``AveragedModel``, timm's ``ModelEmaV2`` and ``DistributedDataParallel`` are modules);
            of any other object its ``ema``, ``module`` or ``model`` is, in this order, or that of
            one of these.

    Returns:
        The names of the modules that were called, as ``named_modules()`` of the model gives them
        and in its order; the model itself is ``""``.

    Raises:
        TypeError: There is no ``nn.Module`` in `model_or_ema`.
        Exception: Whatever a module's own ``set_run_fix_preprocess()`` raises.

    Warns:
        UserWarning: No module has the method.
    """
    model = _find_model(model_or_ema, set())
    if model is None:
        raise TypeError(
            "expected an nn.Module, or an object with one as its {}; got {}".format(
                ", ".join("." + name for name in _HOLDERS), type(model_or_ema).__name__
            )
        )
    names = []
    for name, module in model.named_modules():
        method = getattr(module, "set_run_fix_preprocess", None)
        if callable(method):
            method()
            names.append(name)
    if not names:
        warnings.warn(
            "no module of {} has set_run_fix_preprocess(): is this the model that was made with "
            "the kit's layers?".format(type(model).__name__),
            stacklevel=2,
        )
    return names


def _find_model(holder: object, seen: Set[int]) -> Optional[nn.Module]:
    """Returns the first module in a holder and the holders in it, or None.

    Args:
        holder: What may be a module or hold one.
        seen: Identities of the holders that are being looked through; holders can be in a circle.
    """
    if isinstance(holder, nn.Module):
        return holder
    if id(holder) in seen:
        return None
    seen.add(id(holder))
    for name in _HOLDERS:
        model = _find_model(getattr(holder, name, None), seen)
        if model is not None:
            return model
    return None
