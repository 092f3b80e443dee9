"""fqat-dump and fqat.dump, against numpy."""

import csv
import functools
import json
import os
import resource
import struct
import subprocess
import zlib
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Tuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fqat
from fqat import FqatError

PROGRAM = os.path.join(os.path.dirname(os.environ.get("FQAT_OPT", "")), "fqat-dump")
pytestmark = pytest.mark.skipif(
    "FQAT_OPT" not in os.environ, reason="FQAT_OPT does not name the programs"
)
compare: Callable[..., fqat.dump.Comparison] = functools.partial(fqat.dump.compare, program=PROGRAM)
info: Callable[..., Dict[str, Any]] = functools.partial(fqat.dump.info, program=PROGRAM)


BASE = (1, 8, 5, 7)
TYPES = {"f32": np.float32, "u8": np.uint8, "i8": np.int8, "u4": np.uint8, "i4": np.int8}
RANGES = {"f32": (-100, 100), "u8": (0, 255), "i8": (-128, 127), "u4": (0, 15), "i4": (-8, 7)}


def run(*arguments: object, expect: int = 0, **options: Any) -> "subprocess.CompletedProcess[str]":
    done = subprocess.run(
        [PROGRAM, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        universal_newlines=True,
        check=False,
        **options,
    )
    assert done.returncode == expect, done.stdout + done.stderr
    return done


def say(shape: Tuple[int, ...]) -> str:
    return ",".join(map(str, shape))


def draw(shape: Tuple[int, ...], kind: str, seed: int = 0) -> Any:
    low, high = RANGES[kind]
    return np.random.default_rng(seed).integers(low, high + 1, shape).astype(np.float32)


def lay_out(values: Any, layout: str) -> Any:
    return np.ascontiguousarray(values.transpose(0, 2, 3, 1) if layout == "nhwc" else values)


def pack(values: Any) -> Any:
    """Packs (N, C, H, W) as the board does: the even channel is the low nibble."""
    nibbles = values.astype(np.int64).transpose(0, 2, 3, 1) & 15
    if nibbles.shape[-1] % 2:
        nibbles = np.pad(nibbles, [(0, 0), (0, 0), (0, 0), (0, 1)])
    return (nibbles[..., 1::2] * 16 + nibbles[..., 0::2]).astype(np.uint8)


def encode(values: Any, kind: str, layout: str) -> Any:
    return pack(values) if kind in ("u4", "i4") else lay_out(values.astype(TYPES[kind]), layout)


def save(path: Path, values: Any) -> Path:
    if path.suffix == ".npy":
        np.save(str(path), values)
    else:
        values.tofile(str(path))
    return path


shapes = st.tuples(*[st.integers(1, n) for n in (2, 9, 5, 6)])
seeds = st.integers(0, 2**31)
layouts = st.sampled_from(["nchw", "nhwc"])


# Packing ------------------------------------------------------------------------------------------


def test_base_case_is_packed_as_numpy_does(tmp_path: Path) -> None:
    values = draw(BASE, "u4")
    source = save(tmp_path / "kit.bin", values)
    run("pack4", source, tmp_path / "packed.bin", "--shape", say(BASE))
    expected = values.astype(np.uint8).transpose(0, 2, 3, 1)
    combined = expected[..., 1::2] * 16 + expected[..., ::2]
    assert (tmp_path / "packed.bin").read_bytes() == combined.tobytes()


@settings(max_examples=60, deadline=None)
@given(
    shape=shapes,
    layout=layouts,
    kind=st.sampled_from(["f32", "u8", "i8"]),
    suffix=st.sampled_from([".bin", ".npy"]),
    seed=seeds,
)
def test_unpack_undoes_pack(
    tmp_path_factory: pytest.TempPathFactory,
    shape: Tuple[int, ...],
    layout: str,
    kind: str,
    suffix: str,
    seed: int,
) -> None:
    folder = tmp_path_factory.mktemp("pack")
    signed = kind == "i8"
    values = draw(shape, "i4" if signed else "u4", seed)
    source = save(folder / ("in" + suffix), encode(values, kind, layout))
    options: List[object] = ["--layout", layout, "--type", kind]
    options += ["--signed"] * signed + ["--pad"] * (shape[1] % 2)
    packed, back = folder / ("packed" + suffix), folder / ("back" + suffix)
    shape_option = [] if suffix == ".npy" else ["--shape", say(shape)]
    run("pack4", source, packed, *shape_option, *options)
    if suffix == ".npy":
        np.testing.assert_array_equal(np.load(str(packed)), pack(values))
    else:
        assert packed.read_bytes() == pack(values).tobytes()
    run("unpack4", packed, back, "--shape", say(shape), *options)
    assert back.read_bytes() == source.read_bytes()


@pytest.mark.parametrize(
    "value, options, message",
    [
        (16.0, [], "is outside 0..15; --clamp"),
        (-1.0, [], "is outside 0..15; --clamp takes the nearest, and --signed packs -8..7"),
        (0.5, [], "is a fraction; --round"),
        (float("nan"), ["--clamp", "--round"], "is no number"),
        (8.0, ["--signed"], "is outside -8..7"),
    ],
)
def test_what_is_no_nibble_is_refused(
    tmp_path: Path, value: float, options: List[str], message: str
) -> None:
    values = draw(BASE, "u4") * 0
    values[0, 3, 2, 5] = value
    source = save(tmp_path / "kit.bin", values)
    done = run("pack4", source, tmp_path / "out.bin", "--shape", say(BASE), *options, expect=2)
    assert message in done.stderr
    assert "n=0 c=3 h=2 w=5 (index {})".format(3 * 35 + 2 * 7 + 5) in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kit.bin"]


def test_round_and_clamp(tmp_path: Path) -> None:
    values = np.array([0.5, 1.5, 2.4, -3, 99, float("inf"), -0.4, 14.6], np.float32)
    fqat.dump.pack4(
        values.reshape(1, 8, 1, 1), tmp_path / "out.npy", round=True, clamp=True, program=PROGRAM
    )
    expected = np.array([0, 2, 2, 0, 15, 15, 0, 15]).reshape(1, 8, 1, 1)
    np.testing.assert_array_equal(np.load(str(tmp_path / "out.npy")), pack(expected))


def test_odd_channels_are_refused_unless_they_are_asked_for(tmp_path: Path) -> None:
    source = save(tmp_path / "kit.npy", draw((1, 3, 2, 2), "u4"))
    done = run("pack4", source, tmp_path / "out.bin", expect=2)
    assert "3 is odd" in done.stderr and "--pad" in done.stderr
    assert not (tmp_path / "out.bin").exists()


# Comparing ----------------------------------------------------------------------------------------


@settings(max_examples=150, deadline=None)
@given(
    shape=shapes,
    kit_kind=st.sampled_from(sorted(TYPES)),
    board_kind=st.sampled_from(sorted(TYPES)),
    kit_layout=layouts,
    board_layout=layouts,
    seed=seeds,
    data=st.data(),
)
def test_each_corruption_is_found_where_it_is(
    tmp_path_factory: pytest.TempPathFactory,
    shape: Tuple[int, ...],
    kit_kind: str,
    board_kind: str,
    kit_layout: str,
    board_layout: str,
    seed: int,
    data: Any,
) -> None:
    folder = tmp_path_factory.mktemp("corrupt")
    # What both types have.
    low = max(RANGES[kit_kind][0], RANGES[board_kind][0])
    high = min(RANGES[kit_kind][1], RANGES[board_kind][1])
    values = np.random.default_rng(seed).integers(low, high + 1, shape).astype(np.float32)
    kit_layout = "nhwc" if kit_kind in ("u4", "i4") else kit_layout
    board_layout = "nhwc" if board_kind in ("u4", "i4") else board_layout
    places = st.tuples(*[st.integers(0, size - 1) for size in shape])
    wrong = values.copy()
    chosen = data.draw(st.lists(places, min_size=0, max_size=3, unique=True))
    for place in chosen:
        step = data.draw(st.integers(1, high - low))
        wrong[place] = low + (wrong[place] - low + step) % (high - low + 1)
    kit = save(folder / "kit.bin", encode(values, kit_kind, kit_layout))
    board = save(folder / "board.bin", encode(wrong, board_kind, board_layout))
    result = compare(
        kit,
        board,
        shape=shape,
        kit_type=kit_kind,
        board_type=board_kind,
        kit_layout=kit_layout,
        board_layout=board_layout,
        pad=shape[1] % 2 == 1,
    )
    difference = np.abs(values - wrong)
    assert result.elements == values.size
    assert result.different == len(chosen) == np.count_nonzero(difference)
    assert result.max_abs == difference.max()
    assert result.verdict == (None if chosen else "equal")
    by_channel, by_row = (difference != 0).sum((0, 2, 3)), (difference != 0).sum((0, 1, 3))
    assert result.channels == {c: n for c, n in enumerate(by_channel) if n}
    assert result.rows == {h: n for h, n in enumerate(by_row) if n}
    if not chosen:
        assert result.first is None and result.worst is None
        return

    def get_flat(kind: str, layout: str) -> Any:
        """The position of each element in a file, in bytes or nibbles."""
        padded = shape[1] + shape[1] % 2 if kind in ("u4", "i4") else shape[1]
        numbers = np.arange(shape[0] * padded * shape[2] * shape[3])
        if layout == "nchw":
            return numbers.reshape(shape)
        sizes = (shape[0], shape[2], shape[3], padded)
        return numbers.reshape(sizes).transpose(0, 3, 1, 2)[:, : shape[1]]

    in_kit, in_board = get_flat(kit_kind, kit_layout), get_flat(board_kind, board_layout)
    first = min(chosen, key=lambda place: in_kit[place])
    worst = min(chosen, key=lambda place: (-difference[place], in_kit[place]))
    for found, place in ((result.first, first), (result.worst, worst)):
        assert found is not None
        assert found.nchw == place
        assert (found.kit, found.board) == (values[place], wrong[place])
        assert found.kit_index == in_kit[place]
        position = in_board[place]
        if board_kind in ("u4", "i4"):
            assert (found.board_byte, found.board_nibble) == (position // 2, position % 2)
        else:
            size = np.dtype(TYPES[board_kind]).itemsize
            assert (found.board_byte, found.board_nibble) == (position * size, None)


def test_byte_of_an_array_counts_its_header(tmp_path: Path) -> None:
    values = draw(BASE, "f32")
    wrong = values.copy()
    wrong[0, 3, 2, 5] += 1
    board = save(tmp_path / "board.npy", lay_out(wrong, "nhwc"))
    found = compare(values, board).first
    assert found is not None
    number = struct.unpack("<f", board.read_bytes()[found.board_byte :][:4])[0]
    assert number == wrong[0, 3, 2, 5] == found.board


TOLERANCES: Dict[str, Tuple[Dict[str, Any], Callable[[Any, Any], Any]]] = {
    "exact": ({}, lambda a, b: a == b),
    "atol": ({"atol": 0.25}, lambda a, b: abs(a - b) <= 0.25),
    "both": ({"atol": 0.01, "rtol": 0.05}, lambda a, b: abs(a - b) <= 0.01 + 0.05 * abs(a)),
    "ulp": ({"ulp": 3}, lambda a, b: abs(rank(a) - rank(b)) <= 3),
}


def rank(values: Any) -> Any:
    bits = values.astype(np.float32).view(np.int32).astype(np.int64)
    return np.where(bits < 0, -(bits & 0x7FFFFFFF), bits)


@pytest.mark.parametrize("name", TOLERANCES)
def test_tolerances_are_numpy_s(tmp_path: Path, name: str) -> None:
    options, is_near = TOLERANCES[name]
    rng = np.random.default_rng(3)
    shape = (2, 6, 40, 30)
    kit = (rng.standard_normal(shape) * 3).astype(np.float32)
    board = kit.copy()
    board[0] += rng.standard_normal(shape[1:]).astype(np.float32) / 4
    for step in range(5):  # a few numbers apart
        board[1, step] = rank_up(kit[1, step], step)
    board[1, 5] = -kit[1, 5] * np.float32(1e-40)
    kit[1, 5] *= np.float32(1e-40)
    result = compare(kit, lay_out(board, "nhwc"), **options)
    expected = ~is_near(kit.astype(np.float64), board.astype(np.float64))
    assert 0 < result.different == np.count_nonzero(expected) < kit.size
    assert result.max_abs == np.abs(kit.astype(np.float64) - board).max()


def rank_up(values: Any, steps: int) -> Any:
    for _ in range(steps):
        values = np.nextafter(values, np.float32(np.inf))
    return values


def test_what_is_not_finite() -> None:
    nan, inf = float("nan"), float("inf")
    pairs = [(nan, nan), (inf, inf), (nan, 1), (inf, 1), (inf, -inf), (0.0, -0.0), (1, nan)]
    kit, board = (np.array(side, np.float32).reshape(1, 1, 1, 7) for side in zip(*pairs))
    for options in ({}, {"atol": 1e30}, {"rtol": 1.0}, {"ulp": 5}):
        result = compare(kit, board.reshape(1, 1, 7, 1), **options)
        assert result.different == 4
        assert result.max_abs == inf
        assert result.first is not None and result.first.nchw == (0, 0, 0, 2)
        assert np.isnan(result.first.kit) and result.first.board == 1


def test_lsb_counts_steps_of_the_scale(tmp_path: Path) -> None:
    steps = draw(BASE, "u8")
    scale, zero = np.float32(0.0123), 128
    kit = (steps - np.float32(zero)) * scale
    board = steps.copy()
    board[0, 0] += np.where(board[0, 0] < 255, 1, -1)
    board[0, 1, 0, 0] = (board[0, 1, 0, 0] + 2) % 256
    options = {"scale": 0.0123, "zero": zero}
    array = lay_out(board.astype(np.uint8), "nhwc")
    assert compare(kit, array, **options).different == 36
    assert compare(kit, array, lsb=1, **options).different == 1
    assert compare(kit, array, lsb=2, **options).different == (steps[0, 1, 0, 0] >= 254)
    # The exact one is that of float32.
    assert compare(kit, lay_out(steps.astype(np.uint8), "nhwc"), **options).verdict == "equal"


@settings(max_examples=40, deadline=None)
@given(shape=shapes, seed=seeds, share=st.floats(0, 1))
def test_table_and_array_have_all_differences(
    tmp_path_factory: pytest.TempPathFactory, shape: Tuple[int, ...], seed: int, share: float
) -> None:
    folder = tmp_path_factory.mktemp("table")
    rng = np.random.default_rng(seed)
    kit = rng.standard_normal(shape).astype(np.float32)
    board = np.where(rng.random(shape) < share, kit, rng.standard_normal(shape)).astype(np.float32)
    table, array = folder / "t.csv", folder / "d.npy"
    result = compare(kit, lay_out(board, "nhwc"), csv=table, npy=array)
    np.testing.assert_array_equal(np.load(str(array)), kit - board)
    places = [tuple(place) for place in np.argwhere(kit != board)]
    with open(table, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [tuple(int(row[axis]) for axis in "nchw") for row in rows] == places
    assert result.different == len(rows)
    for row, place in zip(rows, places):
        assert np.float32(row["kit"]) == kit[place] and np.float32(row["board"]) == board[place]


def read_png(path: Path) -> Tuple[Any, Any]:
    """Returns the colour numbers (H, W) and the palette (256, 3)."""
    data = path.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, at = {}, 8
    while at < len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        name, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        assert struct.unpack(">I", data[at + 8 + length : at + 12 + length])[0] == zlib.crc32(
            name + body
        )
        chunks[name] = body
        at += 12 + length
    width, height = struct.unpack(">II", chunks[b"IHDR"][:8])
    lines = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, width + 1)
    assert not lines[:, 0].any()
    return lines[:, 1:], np.frombuffer(chunks[b"PLTE"], np.uint8).reshape(256, 3)


def test_picture_shows_the_differences(tmp_path: Path) -> None:
    kit = draw((2, 4, 5, 7), "u4")
    board = kit.copy()
    board[1, 2, 3, 4] += 8
    board[0, 1, 0, 6] += 2
    compare(kit, lay_out(board, "nhwc"), png=tmp_path / "map.png")
    pixels, palette = read_png(tmp_path / "map.png")
    # Two by two channels with a line around each.
    assert pixels.shape == (13, 17) and (pixels[::6] == 255).all() and (pixels[:, ::8] == 255).all()
    inner = np.stack([pixels[y : y + 5, x : x + 7] for y in (1, 7) for x in (1, 9)])
    assert inner[2, 3, 4] == 254 and 0 < inner[1, 0, 6] < 128
    assert np.count_nonzero(inner) == 2
    assert tuple(palette[0]) == (0, 0, 0) and palette[254].sum() > palette[60].sum() > 0


def test_picture_of_a_large_dump_is_small(tmp_path: Path) -> None:
    kit = np.zeros((1, 3, 50, 9000), np.float32)
    board = kit.copy()
    board[0, 2, 49, 8999] = 1
    compare(kit, lay_out(board, "nhwc"), png=tmp_path / "map.png")
    pixels, _ = read_png(tmp_path / "map.png")
    assert max(pixels.shape) <= 4096 and np.count_nonzero(pixels == 254) == 1


# Verdicts -----------------------------------------------------------------------------------------


def swap(packed: Any) -> Any:
    return (packed >> 4) | (packed << 4)


MISTAKES: Dict[str, Tuple[str, Callable[[Any], Any], Dict[str, Any]]] = {
    "none": ("equal", pack, {"board_type": "u4"}),
    "layout": ("equal after transposing", lambda x: x.reshape(1, 5, 7, 8), {}),
    "rows_and_columns": (
        "equal after transposing",
        lambda x: np.ascontiguousarray(x.transpose(0, 3, 2, 1)).reshape(1, 5, 7, 8),
        {},
    ),
    "layout_of_nibbles": (
        "equal after transposing",
        lambda x: (x.ravel()[1::2] * 16 + x.ravel()[::2]).astype(np.uint8).reshape(1, 5, 7, 4),
        {"board_type": "u4"},
    ),
    "next_channel": (
        "shifted by one channel",
        lambda x: pack(np.roll(x, 1, 1)),
        {"board_type": "u4"},
    ),
    "channel_before": (
        "shifted by one channel",
        lambda x: lay_out(np.concatenate([x[:, 1:], x[:, :1] * 0], 1), "nhwc"),
        {},
    ),
    "nibbles": ("nibbles swapped", lambda x: swap(pack(x)), {"board_type": "u4"}),
    "scale": ("scaled by 2^3", lambda x: lay_out(x * 8, "nhwc"), {}),
    "small_scale": ("scaled by 2^-5", lambda x: lay_out(x / 32, "nhwc"), {}),
    "fixed_point": (
        "scaled by 2^1",
        lambda x: lay_out(x.astype(np.uint8), "nhwc"),
        {"board_type": "u8", "scale": 2},
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_planted_mistake_is_named(tmp_path: Path, name: str) -> None:
    verdict, spoil, options = MISTAKES[name]
    values = draw(BASE, "u4")
    kit = save(tmp_path / "kit.bin", values)
    board = save(tmp_path / "board.bin", spoil(values))
    result = compare(kit, board, shape=BASE, **options)
    assert result.verdict == verdict
    # One more error, and it is no more than that.
    wrong = np.fromfile(str(board), np.uint8)
    wrong[60] ^= 0x71
    wrong.tofile(str(board))
    assert compare(kit, board, shape=BASE, **options).verdict is None


def test_scale_is_named_where_there_is_a_tolerance(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    steps = draw(BASE, "u4")
    kit = (steps + rng.uniform(-0.4, 0.4, BASE)).astype(np.float32)
    packed = save(tmp_path / "board.bin", pack(steps))
    floats = lay_out((kit * 4).astype(np.float32) * np.float32(1.00001), "nhwc")
    steps_of_one = {"shape": BASE, "board_type": "u4", "lsb": 1}
    for scale, verdict in ((2.0, "scaled by 2^1"), (0.25, "scaled by 2^-2")):
        result = compare(kit, packed, scale=scale, **steps_of_one)
        assert result.verdict == verdict
        assert result.explanation is not None
        assert result.explanation.endswith("--scale 1 makes them equal")
        assert compare(kit, packed, scale=1, **steps_of_one).verdict == "equal"
    for name, value in (("rtol", 1e-4), ("atol", 1e-3), ("ulp", 200)):
        assert compare(kit, floats, **{name: value}).verdict == "scaled by 2^2"
    # The tolerance is that of the scale that is named.
    noise = rng.integers(-6, 7, BASE) * (steps < 15)
    far = save(tmp_path / "far.bin", pack(np.clip(steps + noise, 0, 14) + (steps == 15)))
    assert compare(steps, far, scale=8, **steps_of_one).verdict is None


def test_shift_of_few_active_channels(tmp_path: Path) -> None:
    shape = (1, 64, 5, 7)
    values = draw(shape, "u4")
    values[:, 5:40] = 0
    values[:, 50:] = 0
    assert compare(values, lay_out(np.roll(values, 1, 1), "nhwc")).verdict == (
        "shifted by one channel"
    )


def test_padding_that_pads_nothing_hides_no_verdict(tmp_path: Path) -> None:
    values = draw((1, 6, 5, 7), "u4")
    board = save(tmp_path / "board.bin", values.astype(np.uint8))
    result = compare(values, board, board_type="u8", pad=True)
    assert result.verdict == "equal after transposing"


def test_file_of_the_kit_is_named_where_the_board_is_packed(tmp_path: Path) -> None:
    values = draw(BASE, "u4")
    kit = save(tmp_path / "kit.bin", lay_out(values, "nhwc"))
    board = save(tmp_path / "board.bin", pack(values))
    result = compare(kit, board, shape=BASE, board_type="u4")
    assert result.explanation == "the kit's file is in the order NHWC, not NCHW"


def test_two_values_are_too_few_for_a_verdict() -> None:
    for seed in range(60):
        rng = np.random.default_rng(seed)
        kit, board = (rng.integers(0, 2, (1, 3, 1, 3)).astype(np.float32) for _ in range(2))
        result = compare(kit, lay_out(board, "nhwc"))
        assert result.verdict == ("equal" if (kit == board).all() else None)


@settings(max_examples=80, deadline=None)
@given(
    shape=shapes,
    kind=st.sampled_from(["f32", "u8", "u4"]),
    seed=seeds,
    share=st.floats(0.01, 1),
    levels=st.integers(2, 16),
)
def test_random_differences_have_no_verdict(
    shape: Tuple[int, ...], kind: str, seed: int, share: float, levels: int
) -> None:
    rng = np.random.default_rng(seed)
    # At least so many that no mistake looks like it by chance.
    shape = (2, shape[1] + 5, shape[2] + 5, shape[3] + 5)
    kit = rng.integers(0, levels, shape).astype(np.float32)
    noise = rng.integers(1, levels, shape) * (rng.random(shape) < share)
    board = (kit + noise) % levels
    result = compare(
        kit, encode(board, kind, "nhwc"), board_type=kind, shape=shape, pad=shape[1] % 2 == 1
    )
    assert result.different == np.count_nonzero(noise)
    assert result.verdict == (None if noise.any() else "equal")


def test_corrupt_constant_data_has_no_verdict() -> None:
    """Any way to read it makes nearly all of it equal."""
    for value in (0, 3):
        for number in (1, 2, 5):
            kit = np.full(BASE, value, np.float32)
            kit[0, -1].ravel()[:number] += 4
            board = np.full((1, 5, 7, 8), value, np.uint8)
            assert compare(kit, board).verdict is None
            assert compare(kit, board, scale=1, board_type="u8").different == number


# Networks -----------------------------------------------------------------------------------------


def make_network(folder: Path, wrong: Tuple[str, ...] = ()) -> Path:
    """Writes the dumps of three layers, and the map of them, in which the names are no order."""
    layers = []
    for seed, name in enumerate(["stem", "neck", "head"]):
        shape = (1, 4 + 2 * seed, 5, 6)
        values = draw(shape, "u4", seed)
        (folder / "kit").mkdir(exist_ok=True)
        (folder / "board").mkdir(exist_ok=True)
        save(folder / "kit" / (name + ".bin"), values)
        if name in wrong:
            values[0, 1, 2, 3] = 15 - values[0, 1, 2, 3]
        save(folder / "board" / (name + ".u4"), pack(values))
        layers.append({"name": name, "board": name + ".u4", "shape": say(shape)})
    path = folder / "map.yaml"
    path.write_text(json.dumps(layers), encoding="utf-8")
    return path


def test_directories_are_compared_in_the_order_of_the_network(tmp_path: Path) -> None:
    path = make_network(tmp_path, wrong=("neck", "head"))
    arguments = ("compare-dirs", tmp_path / "kit", tmp_path / "board", "--map", path)
    done = run(*arguments, "--board-type", "u4", "--progress", "-j", 2, expect=1)
    lines = done.stdout.splitlines()
    assert lines[0] == "the first layer that differs is neck (2 of 3):"
    assert "n=0 c=1 h=2 w=3" in lines[2]
    table = lines[lines.index("") + 2 :]
    assert [line.split()[0] for line in table] == ["stem", "neck", "head"]
    assert [int(line.split()[2]) for line in table] == [0, 1, 1]
    assert "3 of 3 layers" in done.stderr
    found = json.loads(run(*arguments, "--board-type", "u4", "--json", expect=1).stdout)
    assert found["first_different"] == "neck" and found["different"] == 2


def test_options_of_a_layer(tmp_path: Path) -> None:
    make_network(tmp_path, wrong=("stem",))
    values = draw((1, 6, 5, 6), "u4", 1)
    save(tmp_path / "board" / "neck.npy", values.astype(np.uint8) + 2)
    (tmp_path / "map.yaml").write_text(
        "# The network, top down.\n"
        "- name: stem\n  board: stem.u4\n  shape: 1,4,5,6\n  board-type: u4\n  lsb: 15\n"
        "- {name: neck, board: neck.npy, board-layout: nchw, scale: 1, zero: 1, atol: 1}\n",
        encoding="utf-8",
    )
    layers = fqat.dump.compare_dirs(
        tmp_path / "kit", tmp_path / "board", tmp_path / "map.yaml", program=PROGRAM
    )
    assert [layer.name for layer in layers] == ["stem", "neck"]
    assert [layer.comparison and layer.comparison.verdict for layer in layers] == ["equal"] * 2


def test_layer_without_a_file_is_named_and_the_others_are_compared(tmp_path: Path) -> None:
    path = make_network(tmp_path, wrong=("head",))
    os.remove(str(tmp_path / "board" / "neck.u4"))
    layers = json.loads(path.read_text())
    path.write_text(json.dumps([dict(layer, **{"board-type": "u4"}) for layer in layers]))
    arguments = ("compare-dirs", tmp_path / "kit", tmp_path / "board", "--map", path)
    done = run(*arguments, expect=2)
    assert "the first layer that differs is head" in done.stdout
    assert "neck" in done.stdout and "No such file" in done.stdout
    found = fqat.dump.compare_dirs(tmp_path / "kit", tmp_path / "board", path, program=PROGRAM)
    assert [layer.error is None for layer in found] == [True, False, True]


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "1: there is no layer in it"),
        ("[]", "1: there is no layer in it"),
        ("a: 1", "1: a list of layers was expected"),
        ("- a", "1: a layer was expected"),
        ("*a {name: a}", "1: "),
        ("[" * 100000, "1: "),
        ("- " * 50000, "1: "),
        ("{a: " * 100000, "1: "),
        ("- {shape: '1,2,3,4'}", "1: a layer needs a name"),
        ("- name: a\n  shap: 1,2,3,4", "2: there is no key 'shap'"),
        ("- name: a\n  shape: 1,2,3", "2: '1,2,3' is no shape"),
        ("- {shape: 1,2,3,4}", "1: '1' is no shape"),
        ("- {name: a, 1, 2}", "1: there is no key '1'; within braces a shape is written"),
        ("- {name: a, board-type: f16}", "1: 'f16' is no board-type; f32, u8, i8, u4 and i4 are"),
        ("- {name: a, kit-layout: chwn}", "1: 'chwn' is no kit-layout"),
        ("- {name: a, scale: much}", "1: 'much' is no scale; write a number"),
        ("- {name: a, scale: 0}", "1: the scale must be"),
        ("- {name: a, atol: 1, ulp: 1}", "1: --atol with --rtol, --ulp and --lsb exclude"),
        ("- {name: a, name: b}", "1: 'name' is given twice"),
        ("- {name: [a, {}]}", "1: name takes one value"),
    ],
)
def test_bad_map_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "map.yaml").write_text(text)
    with pytest.raises(FqatError) as raised:
        fqat.dump.compare_dirs(tmp_path, tmp_path, tmp_path / "map.yaml", program=PROGRAM)
    assert "map.yaml:" + message in str(raised.value) and raised.value.exit_code == 2


def test_forms_of_a_map(tmp_path: Path) -> None:
    make_network(tmp_path)
    (tmp_path / "map.yaml").write_text(
        "---\n- {name: stem, board: stem.u4, shape: [1, 4, 5, 6], board-type: u4}\n"
        "---\n- name: neck\n  board: " + str(tmp_path / "board" / "neck.u4") + "\n"
        "  shape: 1,6,5,6\n  board-type: u4\n",
        encoding="utf-8",
    )
    arguments = ("compare-dirs", tmp_path / "kit", tmp_path / "board")
    done = run(*arguments, "--map", tmp_path / "map.yaml")
    assert done.stdout.startswith("all layers are equal\n")
    assert [line.split()[0] for line in done.stdout.splitlines()[2:]] == ["stem", "neck"]


# Info ---------------------------------------------------------------------------------------------


def make_feature(shape: Tuple[int, ...]) -> Any:
    """Makes smooth channels of different means, as a network has them."""
    rng = np.random.default_rng(5)
    n, c, h, w = shape
    y, x = np.mgrid[0:h, 0:w]
    waves = rng.uniform(0.05, 0.3, (n, c, 2))
    field = np.sin(waves[..., :1, None] * y + waves[..., 1:, None] * x)
    return (field + rng.normal(0, 3, (n, c, 1, 1))).astype(np.float32)


@settings(max_examples=40, deadline=None)
@given(shape=shapes, kind=st.sampled_from(sorted(TYPES)), seed=seeds)
def test_info_tells_what_numpy_does(
    tmp_path_factory: pytest.TempPathFactory, shape: Tuple[int, ...], kind: str, seed: int
) -> None:
    values = draw(shape, kind, seed)
    path = save(tmp_path_factory.mktemp("info") / "a.bin", encode(values, kind, "nhwc"))
    options = {"shape": shape, "layout": "nhwc", "pad": shape[1] % 2 == 1}
    found = info(path, type=kind, **options)
    assert (found["count"], found["size"]) == (values.size, os.path.getsize(str(path)))
    assert (found["min"], found["max"]) == (values.min(), values.max())
    assert found["mean"] == pytest.approx(values.astype(np.float64).mean())
    assert found["zeros"] == np.count_nonzero(values == 0)
    assert found["nan"] == found["infinite"] == 0


def test_info_counts_what_is_not_finite() -> None:
    values = np.array([1, np.nan, np.inf, -np.inf, 3, np.nan], np.float32)
    found = info(values.reshape(1, 1, 2, 3))
    assert (found["nan"], found["infinite"], found["min"], found["max"]) == (2, 2, 1, 3)
    nothing = info(np.full((1, 1, 1, 2), np.nan, np.float32))
    assert nothing["min"] is None and nothing["mean"] is None


def test_info_warns_of_another_type(tmp_path: Path) -> None:
    shape = (1, 32, 24, 24)
    feature = make_feature(shape)
    codes = ((feature - feature.min()) * 9).astype(np.uint8)
    rng = np.random.default_rng(2)
    # Channels that have the bytes of exponents.
    means = np.array([10, 120, 40, 63, 200, 30, 90, 65] * 4).reshape(1, 32, 1, 1)
    channels = np.clip(rng.normal(means, 4, shape), 0, 255).astype(np.uint8)
    with_nan = np.where(rng.random(shape) < 0.4, np.float32(np.nan), feature)
    with_mask = np.where(rng.random(shape) < 0.4, np.finfo(np.float32).min, feature)
    floats = {
        "feature": feature,
        "relu": np.maximum(feature - np.float32(np.quantile(feature, 0.8)), 0),
        "integers": draw(shape, "u4"),
        "mostly zero": draw(shape, "u4") * (rng.random(shape) < 0.1),
        "weights": (rng.standard_normal(shape) * 1e-4).astype(np.float32),
        "tiny": (feature * np.float32(1e-13)).astype(np.float32),
        "nan": with_nan,
        "mask": with_mask.astype(np.float32),
        "nothing but nan": np.full(shape, np.nan, np.float32),
    }
    others = {
        "codes": codes,
        "codes, nhwc": lay_out(codes, "nhwc"),
        "channels": lay_out(channels, "nhwc"),
        "around 64": rng.normal(64, 3, shape).astype(np.uint8),
        "packed": pack(draw(shape, "u4")),
        "signed": draw(shape, "i8").astype(np.int8),
        "nibbles": draw(shape, "u4").astype(np.uint8),
    }
    for name, values in floats.items():
        path = save(tmp_path / "a.bin", values.astype(np.float32))
        assert info(path)["warnings"] == [], name
        if not name.startswith("nothing"):
            for kind in ("u8", "i8", "u4"):
                warnings = info(path, type=kind)["warnings"]
                assert warnings and "look like floats" in warnings[0], (name, kind)
    for name, values in others.items():
        path = save(tmp_path / "a.bin", values)
        for kind in ("u8", "i8", "u4"):
            assert info(path, type=kind)["warnings"] == [], (name, kind)
        if name != "channels":  # one in four is like any float
            warnings = info(path)["warnings"]
            assert warnings and "look like bytes" in warnings[0], name


def test_info_of_what_is_no_feature(tmp_path: Path) -> None:
    assert info(np.arange(6, dtype=np.float32))["count"] == 6
    assert info(np.zeros((2, 3, 1, 1, 2), np.float32))["count"] == 12
    (tmp_path / "empty").touch()
    assert info(tmp_path / "empty")["warnings"] == ["the file is empty"]
    (tmp_path / "five").write_bytes(b"12345")
    assert "no whole number of f32" in info(tmp_path / "five")["warnings"][0]


@pytest.mark.parametrize("kind", ["f32", "u8"])
def test_info_warns_of_another_layout(tmp_path: Path, kind: str) -> None:
    shape = (1, 16, 24, 20)
    feature = make_feature(shape)
    if kind == "u8":
        feature = ((feature - feature.min()) * 9).astype(np.uint8)
    for layout in ("nchw", "nhwc"):
        path = save(tmp_path / "a.bin", lay_out(feature, layout))
        for said in ("nchw", "nhwc"):
            warnings = info(path, type=kind, shape=shape, layout=said)["warnings"]
            if said == layout:
                assert warnings == []
            else:
                assert warnings and "try --layout " + layout in warnings[0]
    noise = save(tmp_path / "a.bin", draw(shape, kind).astype(TYPES[kind]))
    assert info(noise, type=kind, shape=shape)["warnings"] == []
    # Three equal channels, as of a grey image; the first image is empty.
    grey = np.repeat(feature[:, :1], 3, axis=1)
    images = np.concatenate([grey * 0, grey])
    path = save(tmp_path / "a.bin", lay_out(images, "nhwc"))
    assert info(path, type=kind, shape=images.shape, layout="nhwc")["warnings"] == []


def test_info_knows_what_fits(tmp_path: Path) -> None:
    path = save(tmp_path / "a.bin", np.ones((1, 16, 10, 10), np.float32))
    fits = {fit["type"]: fit for fit in info(path)["fits"]}
    assert {kind: fit["count"] for kind, fit in fits.items()} == {
        "f32": 1600,
        "u8": 6400,
        "u4": 12800,
    }
    assert [1, 16, 10, 10] in fits["f32"]["shapes"]
    text = run("info", path).stdout
    assert "1,16,10,10" in text and "min 1, max 1, mean 1" in text


# Bad input, and large -----------------------------------------------------------------------------


def test_files_that_cannot_be_used(tmp_path: Path) -> None:
    kit = save(tmp_path / "kit.bin", draw(BASE, "u4"))
    board = save(tmp_path / "board.bin", encode(draw(BASE, "u4"), "u8", "nhwc"))
    shape = ("--shape", say(BASE))

    def refuse(*arguments: object) -> str:
        done = run("compare", *arguments, expect=2)
        assert done.stdout == ""
        return done.stderr

    assert "280 bytes, but 280 elements of f32" in refuse(kit, board, *shape)
    assert "it would be that of u8" in refuse(kit, board, *shape)
    assert "say --shape" in refuse(kit, kit)
    assert "No such file" in refuse(kit, tmp_path / "none.bin", *shape)
    assert "is no shape" in refuse(kit, kit, "--shape", "1,2,0,3")
    assert "is no shape" in refuse(kit, kit, "--shape", "99999999,99999999,99999999,99999999")
    assert "exclude each other" in refuse(kit, kit, *shape, "--ulp", 1, "--lsb", 1)
    assert "takes the layout nhwc" in refuse(
        kit, board, *shape, "--board-type", "u4", "--board-layout", "nchw"
    )
    assert "standard output: two outputs" in refuse(kit, kit, *shape, "--json", "--csv")
    assert "/dev/zero: this is no file" in refuse("/dev/zero", kit, *shape)
    assert "{}: this is no file".format(tmp_path) in refuse(tmp_path, kit, *shape)
    assert "more than 16777216 channels" in refuse(kit, kit, "--shape", "1,400000000,1,1")
    for array, message in [
        (np.zeros(BASE, np.float64), "'<f8' are no dumps"),
        (np.zeros(BASE, ">f4"), "is big-endian"),
        (np.zeros(BASE, "f4,f4"), "arrays of records are no dumps"),
        (np.asfortranarray(np.zeros(BASE, np.float32)), "Fortran"),
        (np.zeros((8, 5), np.float32), "2 dimensions"),
        (np.zeros((1, 8, 5, 8), np.float32), "the array is 1,8,5,8 (as NCHW), not 1,8,5,7"),
        (np.zeros(BASE, np.uint8), "the array is u8, not f32"),
    ]:
        path = save(tmp_path / "kit.npy", array)
        assert message in refuse(path, kit, *shape, "--kit-type", "f32")
    for text in (b"", b"\x93NUMPY", b"\x93NUMPY\x01\x00\xff\xff{}", b"\x93NUMPY\x01\x00\x02\x00{}"):
        (tmp_path / "kit.npy").write_bytes(text)
        assert "the file is no .npy" in refuse(tmp_path / "kit.npy", kit, *shape)


@pytest.mark.parametrize("option", ["--csv", "--npy", "--png", "--json"])
def test_output_that_cannot_be_written(tmp_path: Path, option: str) -> None:
    kit = save(tmp_path / "kit.npy", draw(BASE, "u4"))
    done = run(
        *("compare", kit, kit, "--board-layout", "nchw", option, tmp_path / "none" / "out"),
        expect=2,
    )
    assert str(tmp_path / "none" / "out") in done.stderr


def test_outputs_appear_together_or_not_at_all(tmp_path: Path) -> None:
    kit = save(tmp_path / "kit.npy", draw(BASE, "u4"))
    arguments = ["compare", kit, kit, "--board-layout", "nchw", "--npy", tmp_path / "o.npy"]
    arguments += ["--png", tmp_path / "o.png", "--json", tmp_path / "o.json"]
    done = run(*arguments, "--csv", tmp_path / "none" / "o.csv", expect=2)
    assert done.stdout == "" and os.listdir(str(tmp_path)) == ["kit.npy"]
    run(*arguments, "--csv", tmp_path / "o.csv")
    assert len(os.listdir(str(tmp_path))) == 5


def test_output_takes_no_place_of_an_input_or_another(tmp_path: Path) -> None:
    kit = save(tmp_path / "kit.npy", draw(BASE, "u4"))
    board = save(tmp_path / "board.npy", draw(BASE, "u4", seed=1))
    (tmp_path / "link").symlink_to(board)
    before = board.read_bytes()
    arguments = ["compare", kit, board, "--board-layout", "nchw"]
    for output in (board, tmp_path / "link", tmp_path / "." / "board.npy"):
        for option in ("--csv", "--npy", "--png", "--json"):
            done = run(*arguments, option, output, expect=2)
            assert "take the place of" in done.stderr
    done = run(*arguments, "--csv", tmp_path / "a", "--png", tmp_path / "a", expect=2)
    assert "two outputs" in done.stderr
    assert board.read_bytes() == before and len(os.listdir(str(tmp_path))) == 3


def test_full_disk_is_an_error(tmp_path: Path) -> None:
    """As far as a limit of the size of files goes for it."""
    kit = save(tmp_path / "kit.npy", draw((1, 64, 64, 64), "u4"))
    board = save(tmp_path / "board.npy", draw((1, 64, 64, 64), "u4", seed=1))
    commands = [["pack4", kit, tmp_path / "out"]]
    for option in ("--csv", "--npy"):
        commands.append(["compare", kit, board, "--board-layout=nchw", option, tmp_path / "out"])
    for command in commands:
        done = run(
            *command,
            expect=2,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)),
        )
        assert "out: File too large" in done.stderr
        assert sorted(os.listdir(str(tmp_path))) == ["board.npy", "kit.npy"]


def test_many_channels_take_little_memory(tmp_path: Path) -> None:
    limit = 400 << 20
    kit = save(tmp_path / "kit.npy", np.ones((1, 1000000, 1, 1), np.float32))
    board = save(tmp_path / "board.npy", np.zeros((1, 1, 1, 1000000), np.float32))
    done = run(
        *("compare", kit, board, "--json"),
        expect=1,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (limit, limit)),
    )
    assert len(json.loads(done.stdout)["channels"]) == 1000000


def test_links_stay_links(tmp_path: Path) -> None:
    kit = save(tmp_path / "kit.npy", draw(BASE, "u4"))
    (tmp_path / "there").mkdir()
    target = tmp_path / "there" / "real"
    target.write_bytes(b"old")
    (tmp_path / "link").symlink_to(target)
    run("pack4", kit, tmp_path / "link")
    assert (tmp_path / "link").is_symlink() and target.read_bytes() == pack(np.load(kit)).tobytes()


@pytest.mark.parametrize("option", ["--csv", "--npy", "--png", "--json", None])
def test_pipes_are_written_to(tmp_path: Path, option: Optional[str]) -> None:
    kit = save(tmp_path / "kit.npy", draw(BASE, "u4"))
    board = save(tmp_path / "board.npy", draw(BASE, "u4", seed=1))
    pipe = tmp_path / "pipe"
    os.mkfifo(str(pipe))

    def write(output: Path, **options: Any) -> None:
        if option is None:
            run("pack4", kit, output, **options)
        else:
            layout = ("--board-layout", "nchw")
            run("compare", kit, board, *layout, option, output, expect=1, **options)

    write(tmp_path / "file")
    with subprocess.Popen(["cat", str(pipe)], stdout=subprocess.PIPE) as reader:
        write(pipe)
        assert reader.communicate()[0] == (tmp_path / "file").read_bytes()
    assert pipe.is_fifo()


def test_more_threads_than_cores_are_not_started(tmp_path: Path) -> None:
    kit = save(tmp_path / "kit.npy", np.ones((1, 64, 512, 64), np.float32))
    board = save(tmp_path / "board.npy", np.zeros((1, 64, 512, 64), np.float32))
    limit = 256 << 20
    run(
        *("compare", kit, board, "--board-layout", "nchw", "-j", 100000, "--png", "/dev/null"),
        expect=1,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (limit, limit)),
    )


def test_full_standard_output_is_an_error(tmp_path: Path) -> None:
    kit = save(tmp_path / "kit.npy", draw(BASE, "u4"))
    with open("/dev/full", "w", encoding="utf-8") as full:
        commands = [["compare", "--board-layout=nchw", str(kit), str(kit)], ["info", str(kit)]]
        for command in [*commands, ["pack4", str(kit), "-"]]:
            done = subprocess.run([PROGRAM, *command], stdout=full, stderr=subprocess.PIPE)
            assert done.returncode == 2 and b"No space left" in done.stderr


def test_packed_array_has_the_sizes_of_its_shape(tmp_path: Path) -> None:
    values = draw(BASE, "u4")
    packed = save(tmp_path / "packed.npy", pack(values))
    assert compare(values, packed, board_type="u4").verdict == "equal"
    done = run("unpack4", packed, tmp_path / "out", "--shape", "1,10,4,7", expect=2)
    assert "is no (N, H, W, C / 2) of the shape 1,10,4,7" in done.stderr
    floats = save(tmp_path / "floats.npy", values)
    done = run("unpack4", floats, tmp_path / "out", "--shape", "1,8,5,56", expect=2)
    assert "packed elements are bytes" in done.stderr


def test_zero_point_at_the_end_of_its_range() -> None:
    result = compare(np.zeros(BASE, np.float32), np.zeros((1, 5, 7, 8), np.uint8), zero=-(2**31))
    assert result.max_abs == 2**31


def test_lsb_of_none_is_exact() -> None:
    kit = np.full(BASE, 0.0009, np.float32)
    assert compare(kit, np.zeros((1, 5, 7, 8), np.float32), lsb=0).different == 280


def test_picture_of_what_is_not_finite(tmp_path: Path) -> None:
    kit = np.zeros((1, 1, 1, 4), np.float32)
    board = np.array([0, 1, 100, np.nan], np.float32).reshape(1, 1, 4, 1)
    compare(kit, board, png=tmp_path / "map.png")
    assert list(read_png(tmp_path / "map.png")[0][1, 1:5]) == [0, 4, 254, 254]


def test_arrays_and_paths_in_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    values = draw(BASE, "u4")
    save(Path("-kit.npy"), values)
    assert info("-kit.npy")["count"] == 280
    assert info(values.astype(">f4"))["max"] == values.max()
    with pytest.raises(FqatError, match="arrays of float64 are no dumps"):
        info(values.astype(np.float64))
    with pytest.raises(TypeError):
        info(values, shape=(1.5, 8, 5, 7))
    with pytest.raises(FqatError, match="fqat-dump: error: .*ulp"):
        compare(values, values, ulp=-1)


def test_array_of_three_dimensions_is_one_image(tmp_path: Path) -> None:
    values = draw(BASE, "u4")
    assert compare(values[0], lay_out(values, "nhwc")[0]).shape == BASE


def test_memory_does_not_grow_with_the_files(tmp_path: Path) -> None:
    """Files of 1 GB each, with 64 MB of memory that is not theirs."""
    limit = 64 << 20
    for name in ("kit.bin", "board.bin"):
        with open(tmp_path / name, "wb") as file:
            file.truncate(1 << 30)
            file.seek(12345 * 4)
            file.write(struct.pack("<f", len(name)))
    shape = "1,64,2048,2048"
    done = run(
        *("compare", tmp_path / "kit.bin", tmp_path / "board.bin", "--shape", shape),
        *("--board-layout", "nchw", "-j", 1, "--json"),
        expect=1,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (limit, limit)),
    )
    found = json.loads(done.stdout)
    assert (found["different"], found["first"]["kit_index"]) == (1, 12345)
