"""Writes layer dumps as the training kit and the board make them, of a network with a bug.

The kit has float32 in NCHW, the board 4-bit numbers in NHWC, two in a byte. On this board the
kernel of conv2 takes 0 for what lies above the image, where the kit takes the zero point.
"""

import argparse
from pathlib import Path

import numpy as np

# Channels of the layers, and their height and width.
CHANNELS = [3, 8, 16, 16]
HEIGHT, WIDTH = 12, 20
ZERO_POINT = 3


def convolve(features: np.ndarray, weights: np.ndarray, above: int) -> np.ndarray:
    """Compute a quantised 3x3 convolution.

    Args:
        features: Integers 0..15, (C, H, W).
        weights: Integers, (D, C, 3, 3).
        above: The feature that the kernel takes for what lies above the image.

    Returns:
        Integers 0..15, (D, H, W).
    """
    _, height, width = features.shape
    padded = np.pad(features, [(0, 0), (1, 1), (1, 1)], constant_values=ZERO_POINT)
    padded[:, 0] = above
    total = np.zeros((len(weights), height, width), np.int64)
    for y in range(3):
        for x in range(3):
            window = padded[:, y : y + height, x : x + width] - ZERO_POINT
            total += np.einsum("dc,chw->dhw", weights[:, :, y, x], window)
    return np.clip(np.round(total / 24) + ZERO_POINT, 0, 15).astype(np.int64)


def pack(features: np.ndarray) -> np.ndarray:
    """Put two channels into a byte: (C, H, W) becomes (H, W, C / 2)."""
    pixels = features.astype(np.uint8).transpose(1, 2, 0)
    return pixels[..., 1::2] * 16 + pixels[..., ::2]


def main() -> None:
    """Write kit/*.bin, board/*.bin and map.yaml into a folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", default=".", help="the folder")
    parser.add_argument("--mended", action="store_true", help="a board without the bug")
    options = parser.parse_args()
    folder = Path(options.out)
    for name in ("kit", "board"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    kit = board = rng.integers(0, 16, (CHANNELS[0], HEIGHT, WIDTH))
    lines = []
    for layer in range(1, len(CHANNELS)):
        name = "conv{}".format(layer)
        weights = rng.integers(-8, 8, (CHANNELS[layer], CHANNELS[layer - 1], 3, 3))
        kit = convolve(kit, weights, ZERO_POINT)
        is_wrong = layer == 2 and not options.mended
        board = convolve(board, weights, 0 if is_wrong else ZERO_POINT)
        kit.astype(np.float32).tofile(str(folder / "kit" / (name + ".bin")))
        pack(board).tofile(str(folder / "board" / (name + ".bin")))
        lines.append('- {{name: {}, shape: "1,{},{},{}"}}\n'.format(name, *kit.shape))
    (folder / "map.yaml").write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
