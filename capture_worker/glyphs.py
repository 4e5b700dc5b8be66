"""A 3 x 5 pixel font for the test pattern: names and numbers that a person can read, from numpy alone.

Each glyph is five octal digits, one per row from the top; the three bits of a digit are the row's pixels.
"""

import numpy as np
from numpy.typing import NDArray

GLYPH_COLS = 4  # three pixels and a gap
GLYPH_ROWS = 5

_GLYPHS = {
    **dict(zip("01234", ("75557", "26227", "71747", "71717", "55711"), strict=True)),
    **dict(zip("56789", ("74717", "74757", "71122", "75757", "75717"), strict=True)),
    **dict(zip("abcdefg", ("25755", "65656", "34443", "65556", "74647", "74644", "34553"), strict=True)),
    **dict(zip("hijklmn", ("55755", "72227", "11157", "55655", "44447", "57755", "65555"), strict=True)),
    **dict(zip("opqrstu", ("25552", "65644", "25563", "65655", "34216", "72222", "55557"), strict=True)),
    **dict(zip("vwxyz", ("55552", "55775", "55255", "55222", "71247"), strict=True)),
    **dict(zip("-_ ", ("00700", "00007", "00000"), strict=True)),
}


def draw_text(text: str, scale: int) -> NDArray[np.bool_]:
    """Return `text` as a mask of shape (5 * scale, 4 * scale * len(text)); unknown characters are blank."""
    columns = [_glyph(character) for character in text]
    return np.kron(np.hstack(columns), np.ones((scale, scale), dtype=np.bool_))


def _glyph(character: str) -> NDArray[np.bool_]:
    digits = _GLYPHS.get(character, _GLYPHS[" "])
    return np.array([[int(digit) & bit != 0 for bit in (4, 2, 1, 0)] for digit in digits])
