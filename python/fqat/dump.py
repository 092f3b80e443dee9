"""Compares layer dumps of the training kit with those of the board, by the program fqat-dump.

A dump is a raw file of numbers, a ``.npy``, or here a numpy array. Shapes are ``(N, C, H, W)``
whatever the layout of a file is: images, channels, rows, columns.
"""

import json
import operator
import os
import tempfile
from contextlib import ExitStack
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np

from .program import FqatError, run_program

# A raw file, a .npy, or an array of float32, uint8 or int8.
Dump = Union[str, "os.PathLike[str]", "np.ndarray[Any, Any]"]
Path = Union[str, "os.PathLike[str]"]


class Difference(NamedTuple):
    """An element that differs.

    Attributes:
        nchw: Its image, channel, row and column.
        kit_index: Its place among the elements of the kit's file, as a kernel counts them.
        board_byte: Its byte in the board's file (of an array: in the ``.npy`` of it).
        board_nibble: Of packed elements 0 for the low nibble and 1 for the high one, else None.
        kit: What the kit has.
        board: What the board has, ``scale * (element - zero)``.
        abs: ``|kit - board|``; infinite if one is not finite.
    """

    nchw: Tuple[int, int, int, int]
    kit_index: int
    board_byte: int
    board_nibble: Optional[int]
    kit: float
    board: float
    abs: float


class Comparison(NamedTuple):
    """What `compare` finds.

    Attributes:
        shape: ``(N, C, H, W)``.
        elements: How many there are.
        different: How many of them differ by more than the tolerance.
        max_abs: The largest ``|kit - board|`` of all.
        verdict: ``equal``, or the one mistake that explains every difference: ``equal after
            transposing``, ``shifted by one channel``, ``nibbles swapped``, ``scaled by 2^k``.
            None if there is none.
        explanation: The same in a sentence, or None.
        first: The one with the least `kit_index`, None if all are equal.
        worst: The one with the largest difference, None if all are equal.
        channels: How many differ by channel, without those that are equal.
        rows: How many differ by row, without those that are equal.
    """

    shape: Tuple[int, int, int, int]
    elements: int
    different: int
    max_abs: float
    verdict: Optional[str]
    explanation: Optional[str]
    first: Optional[Difference]
    worst: Optional[Difference]
    channels: Dict[int, int]
    rows: Dict[int, int]


class Layer(NamedTuple):
    """A layer of a network, see `compare_dirs`.

    Attributes:
        name: As the map has it.
        kit: The kit's file.
        board: The board's file.
        comparison: None where the files could not be compared.
        error: Why, or None.
    """

    name: str
    kit: str
    board: str
    comparison: Optional[Comparison]
    error: Optional[str]


def info(
    file: Dump,
    *,
    type: Optional[str] = None,  # noqa: A002
    shape: Optional[Sequence[int]] = None,
    layout: str = "nchw",
    pad: bool = False,
    program: Optional[str] = None,
) -> Dict[str, Any]:
    """Describe one dump.

    Args:
        file: The dump.
        type: What an element is: ``f32``, ``u8``, ``i8``, or packed ``u4`` or ``i4``.
        shape: ``(N, C, H, W)``, if it is known: then the layout is looked at as well.
        layout: ``nchw`` or ``nhwc``.
        pad: The last of an odd number of packed channels is alone in its byte.
        program: The path of fqat-dump, see `fqat.program.find_program`.

    Returns:
        ``file``, ``size`` in bytes, ``type``, ``count``, ``min``, ``max`` and ``mean`` of the
        finite elements (None if there is none), ``zeros``, ``nan``, ``infinite``, ``fits`` (how
        many elements the bytes are in each type, and shapes of so many), ``warnings`` (the bytes
        look like another type, or another layout).

    Raises:
        FqatError: If the file cannot be read as this type or shape.
    """
    with ExitStack() as stack:
        arguments = ["info", _get_path(file, stack), "--json", "--layout=" + layout]
        arguments += _spell({"type": type, "shape": shape, "pad": pad})
        found = json.loads(run_program(arguments, program, name="fqat-dump").stdout)
    for name in ("min", "max", "mean"):
        found[name] = None if found[name] is None else float(found[name])
    return found


def compare(
    kit: Dump,
    board: Dump,
    *,
    shape: Optional[Sequence[int]] = None,
    kit_layout: str = "nchw",
    board_layout: str = "nhwc",
    kit_type: Optional[str] = None,
    board_type: Optional[str] = None,
    scale: float = 1.0,
    zero: int = 0,
    pad: bool = False,
    atol: float = 0.0,
    rtol: float = 0.0,
    ulp: Optional[int] = None,
    lsb: Optional[float] = None,
    csv: Optional[Path] = None,
    npy: Optional[Path] = None,
    png: Optional[Path] = None,
    program: Optional[str] = None,
) -> Comparison:
    """Compare a dump of the kit with one of the board.

    Args:
        kit: The kit's dump.
        board: The board's dump.
        shape: ``(N, C, H, W)``; arrays tell it themselves.
        kit_layout: ``nchw`` or ``nhwc``.
        board_layout: ``nchw`` or ``nhwc``.
        kit_type: ``f32``, ``u8``, ``i8``, or packed ``u4`` or ``i4``; float32, or an array's
            own, if it is None.
        board_type: The same of the board.
        scale: A value of the board is ``scale * (element - zero)``, in float32.
        zero: The zero point of the board.
        pad: The last of an odd number of packed channels is alone in its byte.
        atol: Equal is ``|kit - board| <= atol + rtol * |kit|``.
        rtol: See `atol`.
        ulp: Or: at most so many float32 numbers apart.
        lsb: Or: at most so many steps of `scale` apart.
        csv: Where to write a table of the elements that differ.
        npy: Where to write kit - board as a float32 array ``(N, C, H, W)``.
        png: Where to write a picture of the differences by channel.
        program: The path of fqat-dump, see `fqat.program.find_program`.

    Returns:
        What differs, and the mistake that explains it, if there is a simple one.

    Raises:
        FqatError: If the files are not what the arguments say.
    """
    with ExitStack() as stack:
        arguments = ["compare", _get_path(kit, stack), _get_path(board, stack), "--json=-"]
        arguments += _spell({"shape": shape, "kit_layout": kit_layout, "kit_type": kit_type})
        arguments += _spell({"board_layout": board_layout, "board_type": board_type})
        arguments += _spell({"scale": scale, "zero": zero, "pad": pad})
        arguments += _spell({"atol": atol, "rtol": rtol, "ulp": ulp, "lsb": lsb})
        arguments += _spell({"csv": csv, "npy": npy, "png": png})
        done = run_program(arguments, program, accepted=(0, 1), name="fqat-dump")
    return _make_comparison(json.loads(done.stdout))


def compare_dirs(
    kit_dir: Path,
    board_dir: Path,
    map: Path,  # noqa: A002
    *,
    jobs: int = 0,
    program: Optional[str] = None,
) -> List[Layer]:
    """Compare the dumps of all layers of a network.

    Args:
        kit_dir: The folder of the kit's files.
        board_dir: The folder of the board's files.
        map: A list of layers in the order of the network, as YAML: ``- {name: conv1, kit:
            a.bin, board: b.bin, shape: "1,8,5,7", board-type: u4}``. The keys but the first
            three are the options of `compare`.
        jobs: How many are compared at a time; 0 is one a core.
        program: The path of fqat-dump, see `fqat.program.find_program`.

    Returns:
        The layers, in the order of the map.

    Raises:
        FqatError: If the map cannot be read.
    """
    arguments = ["compare-dirs", os.fspath(kit_dir), os.fspath(board_dir), "--json=-"]
    arguments += ["--map", os.fspath(map), "-j", str(jobs)]
    done = run_program(arguments, program, accepted=(0, 1, 2), name="fqat-dump")
    # 2 is that of layers that cannot be compared, and of a map that cannot be read.
    if not done.stdout:
        raise FqatError(done.stderr.strip(), done.returncode)
    layers = []
    for entry in json.loads(done.stdout)["layers"]:
        error = entry.get("error")
        comparison = None if error is not None else _make_comparison(entry)
        layers.append(Layer(entry["name"], entry["kit"], entry["board"], comparison, error))
    return layers


def pack4(
    source: Dump,
    output: Path,
    *,
    shape: Optional[Sequence[int]] = None,
    layout: str = "nchw",
    type: Optional[str] = None,  # noqa: A002
    signed: bool = False,
    pad: bool = False,
    round: bool = False,  # noqa: A002
    clamp: bool = False,
    program: Optional[str] = None,
) -> None:
    """Write 4-bit values two in a byte, in NHWC: ``channel[2i] + 16 * channel[2i + 1]``.

    Args:
        source: The values, one by one.
        output: A raw file, or a ``.npy`` of shape ``(N, H, W, C / 2)``.
        shape: ``(N, C, H, W)``; arrays tell it themselves.
        layout: That of `source`: ``nchw`` or ``nhwc``.
        type: That of `source`: ``f32``, ``u8`` or ``i8``.
        signed: -8..7 in two's complement, not 0..15.
        pad: The last of an odd number of channels is alone in its byte.
        round: Fractions go to the nearest number, halves to the even one.
        clamp: Values out of range become the nearest in it.
        program: The path of fqat-dump, see `fqat.program.find_program`.

    Raises:
        FqatError: If a value cannot be packed; nothing is written then.
    """
    with ExitStack() as stack:
        arguments = ["pack4", _get_path(source, stack), os.fspath(output), "--layout=" + layout]
        arguments += _spell({"shape": shape, "type": type, "signed": signed, "pad": pad})
        arguments += _spell({"round": round, "clamp": clamp})
        run_program(arguments, program, name="fqat-dump")


def unpack4(
    source: Dump,
    output: Path,
    *,
    shape: Sequence[int],
    layout: str = "nchw",
    type: Optional[str] = None,  # noqa: A002
    signed: bool = False,
    pad: bool = False,
    program: Optional[str] = None,
) -> None:
    """Write packed values one by one.

    Args:
        source: What `pack4` writes.
        output: A raw file, or a ``.npy``.
        shape: ``(N, C, H, W)``.
        layout: That of `output`: ``nchw`` or ``nhwc``.
        type: That of `output`: ``f32`` (if it is None), ``u8`` or ``i8``.
        signed: -8..7 in two's complement, not 0..15.
        pad: The last of an odd number of channels is alone in its byte.
        program: The path of fqat-dump, see `fqat.program.find_program`.

    Raises:
        FqatError: If the file has not the size of the shape; nothing is written then.
    """
    with ExitStack() as stack:
        arguments = ["unpack4", _get_path(source, stack), os.fspath(output), "--layout=" + layout]
        arguments += _spell({"shape": shape, "type": type, "signed": signed, "pad": pad})
        run_program(arguments, program, name="fqat-dump")


def _get_path(dump: Dump, stack: ExitStack) -> str:
    """Return the path of a dump; an array is saved until the stack is closed."""
    if not isinstance(dump, np.ndarray):
        path = os.fspath(dump)
        return os.path.join(".", path) if path.startswith("-") else path
    if dump.dtype.kind == "f" and dump.dtype.itemsize == 4:
        dump = dump.astype("<f4")
    if dump.dtype not in (np.float32, np.uint8, np.int8):
        raise FqatError("arrays of {} are no dumps; give float32, uint8 or int8".format(dump.dtype))
    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="fqat-"))
    path = os.path.join(folder, "array.npy")
    np.save(path, np.ascontiguousarray(dump))
    return path


def _spell(options: Dict[str, Any]) -> List[str]:
    """Return options as a command line has them, without those that are not set."""
    arguments = []
    for name, value in options.items():
        if value is None or value is False:
            continue
        option = "--" + name.replace("_", "-")
        if value is True:
            arguments.append(option)
        elif name == "shape":
            arguments.append(option + "=" + ",".join(str(operator.index(size)) for size in value))
        else:
            text = os.fspath(value) if isinstance(value, os.PathLike) else value
            arguments.append(option + "={}".format(text))
    return arguments


def _make_difference(entry: Optional[Dict[str, Any]]) -> Optional[Difference]:
    """Make a difference of what fqat-dump prints."""
    if entry is None:
        return None
    values = dict(entry, nchw=tuple(entry["nchw"]))
    values.update({name: float(entry[name]) for name in ("kit", "board", "abs")})
    return Difference(**values)


def _make_comparison(entry: Dict[str, Any]) -> Comparison:
    """Make a comparison of what fqat-dump prints."""
    return Comparison(
        shape=tuple(entry["shape"]),
        elements=entry["count"],
        different=entry["different"],
        max_abs=float(entry["max_abs"]),
        verdict=entry["verdict"],
        explanation=entry["explanation"],
        first=_make_difference(entry["first"]),
        worst=_make_difference(entry["worst"]),
        channels={errors["c"]: errors["different"] for errors in entry["channels"]},
        rows={errors["h"]: errors["different"] for errors in entry["rows"]},
    )
