"""The proto's FORMAT_RLE: every pixel value, of any size, with one byte before it that says how often it comes.

The pixels are those of the RAW form, row after row; a run may go on in the next row.
"""

import numpy as np
from numpy.typing import NDArray

from servicer.pixel_formats import Picture

_LONGEST_RUN = 255
_CHUNK_PIXELS = 1 << 18  # at once, so that what is needed meanwhile does not grow with the picture


def encode(picture: Picture) -> bytes:
    """Encode a picture (rows, cols[, channels]) of any sample size, in the byte order that it has."""
    rows, cols = picture.shape[:2]
    pixels = np.ascontiguousarray(picture).view(np.uint8).reshape(rows * cols, -1)
    chunks = (pixels[start : start + _CHUNK_PIXELS] for start in range(0, len(pixels), _CHUNK_PIXELS))
    runs = np.concatenate([_runs(chunk) for chunk in chunks])
    return (_of_even_length(runs) if picture.itemsize > 1 else runs).tobytes()


def _runs(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The runs of pixels (count, bytes of each) as rows of length and value."""
    changes = np.flatnonzero((pixels[1:] != pixels[:-1]).any(axis=1)) + 1
    starts = np.concatenate(([0], changes))
    lengths = np.diff(starts, append=len(pixels))
    pieces = (lengths - 1) // _LONGEST_RUN + 1  # of each run: all of 255 pixels but its last
    encoded = np.empty((int(pieces.sum()), 1 + pixels.shape[1]), np.uint8)
    encoded[:, 0] = _LONGEST_RUN
    encoded[np.cumsum(pieces) - 1, 0] = lengths - (pieces - 1) * _LONGEST_RUN
    encoded[:, 1:] = pixels[np.repeat(starts, pieces)]
    return encoded


def _of_even_length(runs: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Make the bytes even in number, by halving a run if need be: as they are, if no run is longer than one pixel.

    The SDK's `save_images_as_files`, and with it the SDK's tester, takes the data of 16-bit pixel formats for 16-bit
    samples whatever the image format is, and ends with an exception if there is half a sample.
    """
    longest = int(runs[:, 0].argmax())
    length = int(runs[longest, 0])
    if runs.size % 2 == 0 or length == 1:
        return runs
    halved = np.insert(runs, longest, runs[longest], axis=0)
    halved[longest, 0], halved[longest + 1, 0] = length // 2, length - length // 2
    return halved
