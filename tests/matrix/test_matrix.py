"""The matrix itself: every row has tests, and the table shows what became of them."""

from pathlib import Path

import pytest

from tests.matrix.recording import Figure, MeasuredRow, Result
from tests.matrix.rows import ROWS
from tests.matrix.table import BEGIN, END, PAGE, marked_tests, put_into, table


def test_there_are_all_rows() -> None:
    """M1 to M36, each once."""
    assert [row.id for row in ROWS] == [f"M{number}" for number in range(1, 37)]


def test_every_row_has_a_test() -> None:
    """And no marker names a row that does not exist."""
    assert set(marked_tests()) == {row.id for row in ROWS}


def test_the_page_names_every_row() -> None:
    """In the matrix's order."""
    page = PAGE.read_text()
    generated = page[page.index(BEGIN) : page.index(END)]
    assert [line.split("|")[1].strip() for line in generated.splitlines() if line.startswith("| M")] == [
        row.id for row in ROWS
    ]


def test_a_figure_beyond_its_bound_fails_and_is_kept() -> None:
    """The worst value is the largest, or the smallest of what must not be small."""
    result = Result("tests/x.py::test_x", ["M1"])
    shown: list[str] = []
    measured = MeasuredRow("M1", result, shown.append)
    measured.measured("back", 1.5, 2.0)
    measured.at_least("rate", 0.97, 0.95)
    with pytest.raises(AssertionError, match="back"):
        measured.measured("back", 2.5, 2.0)
    with pytest.raises(AssertionError, match="rate"):
        measured.at_least("rate", 0.90, 0.95)
    assert [figure.worst for figure in result.figures] == [2.5, 0.90]
    assert len(shown) == 4
    with pytest.raises(AssertionError, match="no marker"):
        MeasuredRow("M2", result, shown.append)


def test_results_become_the_table(tmp_path: Path) -> None:
    """What was written is read again; the worst of all values stands there, and what did not pass stands out."""
    name = marked_tests()["M9"][0]
    figure = Figure("M9", "no process left", 3.0, "s", is_least=False, values=[0.5, 1.25])
    result = Result(f"tests/y.py::{name}[a]", ["M9"], "passed", [figure])
    result.save(tmp_path)
    (file,) = tmp_path.iterdir()
    assert Result.load(file) == result
    line = next(line for line in table([Result.load(file)]).splitlines() if line.startswith("| M9 |"))
    assert "no process left: 1.25 s (worst of 2)" in line
    result.outcome = "failed"
    assert f"`{name}` **failed**" in table([result])
    assert f"`{name}` **not run**" in table([])


def test_the_table_goes_between_its_markers() -> None:
    """The rest of the page is left as it is; a page without a place for it is refused."""
    page = f"# Title\n\n{BEGIN}\nold\n{END}\n\nmore\n"
    assert put_into(page, "new") == f"# Title\n\n{BEGIN}\n\nnew\n\n{END}\n\nmore\n"
    with pytest.raises(ValueError, match="no place"):
        put_into("# Title\n", "new")
