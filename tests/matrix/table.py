"""Writes the table of docs/reliability.md from the results of the last `make reliability`.

python -m tests.matrix.table [folder of results] [page]
"""

import ast
import functools
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from tests.matrix.recording import Result
from tests.matrix.rows import ROWS, Row

PROJECT_FOLDER = Path(__file__).resolve().parents[2]
RESULTS = PROJECT_FOLDER / "build" / "matrix"
PAGE = PROJECT_FOLDER / "docs" / "reliability.md"
BEGIN = "<!-- fault matrix: written by `make reliability`, not by hand -->"
END = "<!-- end of the fault matrix -->"
HEAD = "| row | fault | expected | bound | worst | tests |\n|---|---|---|---|---|---|"


@functools.cache
def marked_tests(folder: Path = PROJECT_FOLDER / "tests") -> dict[str, list[str]]:
    """The test functions that carry each row's marker, run or not."""
    found = defaultdict(list)
    for file in sorted(folder.rglob("test_*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef):
                for row in _rows_of(node):
                    found[row].append(node.name)
    return found


def table(results: list[Result]) -> str:
    """The whole table, with a sentence before it that counts."""
    marked = marked_tests()
    lines = [
        _line(row, marked.get(row.id, []), [result for result in results if row.id in result.rows]) for row in ROWS
    ]
    green = sum("**" not in line for line in lines)
    return "\n".join([f"{green} of {len(ROWS)} rows are green.", "", HEAD, *lines])


def put_into(page: str, generated: str) -> str:
    """The page with the table between its markers; raises ValueError if it has none."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page has no place for the table: put these two lines into it:\n{BEGIN}\n{END}")
    return f"{before}{BEGIN}\n\n{generated}\n\n{END}{after}"


def main(folder: Path = RESULTS, page: Path = PAGE) -> None:
    """Put the table into the page."""
    results = [Result.load(file) for file in sorted(folder.glob("*.json"))]
    generated = table(results)
    page.write_text(put_into(page.read_text(), generated))
    print(f"{page}: {generated.partition(chr(10))[0]}")


def _rows_of(function: ast.FunctionDef) -> Iterator[str]:
    for node in (node for decorator in function.decorator_list for node in ast.walk(decorator)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.row":
            yield from (str(argument.value) for argument in node.args if isinstance(argument, ast.Constant))


def _line(row: Row, tests: list[str], results: list[Result]) -> str:
    worst = "; ".join(_figures(row, results)) or "–"
    named = ", ".join(_named(test, results) for test in tests) or "**no test**"
    cells = [row.id, row.fault, row.expected, row.bound, worst, named]
    return "| " + " | ".join(cells) + " |"


def _figures(row: Row, results: list[Result]) -> Iterator[str]:
    measured = [figure for result in results for figure in result.figures if figure.row == row.id]
    for what in dict.fromkeys(figure.what for figure in measured):
        same = [figure for figure in measured if figure.what == what]
        values = [value for figure in same for value in figure.values]
        worst = (min if same[0].is_least else max)(figure.worst for figure in same)
        yield f"{what}: {worst:.3g} {same[0].unit}".rstrip() + (f" (worst of {len(values)})" if len(values) > 1 else "")


def _named(test: str, results: list[Result]) -> str:
    outcomes = {result.outcome for result in results if result.test.rpartition("::")[2].partition("[")[0] == test}
    bad = outcomes - {"passed"} if outcomes else {"not run"}
    return f"`{test}`" + (f" **{', '.join(sorted(bad))}**" if bad else "")


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:]))
