"""The house as rules: sizes, floors' docstrings, names nobody may use."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "src" / "slatewise").rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
BANNED = {"utils", "helpers", "common", "misc", "manager", "base", "data", "v2"}


def lines(path: Path) -> int:
    return len(path.read_text().splitlines())


def test_no_source_file_is_over_400_lines_and_no_test_over_500() -> None:
    assert {str(p.relative_to(ROOT)): lines(p) for p in SOURCES if lines(p) > 400} == {}
    assert {str(p.relative_to(ROOT)): lines(p) for p in TESTS if lines(p) > 500} == {}


def test_most_source_files_are_small() -> None:
    sizes = sorted(lines(p) for p in SOURCES)
    assert sizes[len(sizes) // 2] <= 120
    assert sizes[int(len(sizes) * 0.9)] <= 300


def test_no_file_has_a_name_that_says_nothing() -> None:
    assert [str(p) for p in SOURCES if p.stem in BANNED or p.parent.name in BANNED] == []


def test_every_module_says_what_it_holds() -> None:
    silent = [str(p.relative_to(ROOT)) for p in SOURCES if not p.read_text().lstrip().startswith('"""')]
    assert silent == []


def test_every_room_stands_in_the_architecture_page() -> None:
    page = (ROOT / "ARCHITECTURE.md").read_text()
    rooms = [p.name for p in (ROOT / "src" / "slatewise").iterdir() if (p / "__init__.py").exists()]
    assert [room for room in rooms if f"`{room}`" not in page] == []


def test_public_names_are_exactly_what_can_be_imported() -> None:
    import slatewise

    assert sorted(slatewise.__all__) == slatewise.__all__
    assert [name for name in slatewise.__all__ if not hasattr(slatewise, name)] == []
