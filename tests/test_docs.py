"""What the documentation says exists."""

import re
from pathlib import Path

PROJECT_FOLDER = Path(__file__).resolve().parents[1]
PARITY = (PROJECT_FOLDER / "docs" / "sdk-parity.md").read_text()


def test_every_test_that_parity_names_exists() -> None:
    """A row of docs/sdk-parity.md is worth what the tests that it names are."""
    defined = {
        name
        for path in (PROJECT_FOLDER / "tests").rglob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", path.read_text(), re.MULTILINE)
    }
    named = set(re.findall(r"\btest_\w+", PARITY)) - {"test_docs"}
    assert len(named) > 80
    assert not named - defined


def test_every_defect_has_its_row() -> None:
    """The reference knows 43."""
    assert re.findall(r"^\| D(\d+) \|", PARITY, re.MULTILINE) == [str(number) for number in range(1, 44)]


def test_every_link_leads_somewhere() -> None:
    """Links between the pages, and into the code, are those of this tree."""
    for page in [PROJECT_FOLDER / "README.md", *(PROJECT_FOLDER / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
