"""MovieLens as GroupLens ships it: the 100k, 1M and latest layouts, brought to the import layout's columns."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from slatewise.datasets.assembly import Sheets, assemble
from slatewise.datasets.csv_sheet import read_csv
from slatewise.datasets.dataset import Dataset
from slatewise.datasets.sheet import Sheet
from slatewise.domain.errors import InputError

FAR = 4_102_444_800.0
"""The year 2100: nothing in a published data set is judged against a clock."""
TAGS = 10
"""Tags kept per film at most, the most often given first."""
GENRES_100K = (
    "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama", "Fantasy", "Film-Noir",
    "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western",
)  # fmt: skip
_YEAR = re.compile(r"\((\d{4})\)\s*$")


def read_movielens(folder: Path, *, action: str = "interaction") -> Dataset:
    """Read a MovieLens folder: ratings as interactions of *action* with the stars as value, films, and users if any.

    Films get genres as categories, the year of release as an attribute and, in the latest layout, their commonest
    tags. Raises InputError where the folder holds none of the layouts or a file of it is missing or broken.
    """
    folder = Path(folder)
    for first, read in _LAYOUTS.items():
        if (folder / first).is_file():
            sheets = read(folder)
            return assemble(sheets, mapping={}, default_action=action, actions=(action,), now=FAR)
    raise InputError("folder", str(folder), f"a MovieLens folder: one of {', '.join(_LAYOUTS)}")


def _read_100k(folder: Path) -> Sheets:
    users = _split(folder / "u.user", "|", ("user_id", "age", "gender", "occupation", "zip_code"))
    films = _split(folder / "u.item", "|", ("item_id", "title", "", "", "", *("",) * 19))
    genres = ["|".join(g for g, is_set in zip(GENRES_100K, row[6:24], strict=True) if is_set == "1") for row in films]
    return Sheets(
        _sheet("u.data", ("user_id", "item_id", "value", "timestamp"), _split(folder / "u.data", "\t", ("",) * 4)),
        _films("u.item", [row[0] for row in films], [row[1] for row in films], genres),
        _sheet("u.user", ("user_id", "age", "gender", "occupation", "zip_code"), users),
    )


def _read_1m(folder: Path) -> Sheets:
    columns = ("user_id", "gender", "age", "occupation", "zip_code")
    films = _split(folder / "movies.dat", "::", ("item_id", "title", "genres"))
    names = ("user_id", "item_id", "value", "timestamp")
    return Sheets(
        _sheet("ratings.dat", names, _split(folder / "ratings.dat", "::", names)),
        _films("movies.dat", [row[0] for row in films], [row[1] for row in films], [row[2] for row in films]),
        _sheet("users.dat", columns, _split(folder / "users.dat", "::", columns)),
    )


def _read_latest(folder: Path) -> Sheets:
    for name in ("ratings.csv", "movies.csv"):
        if not (folder / name).is_file():
            raise InputError("folder", str(folder), f"a file {name}")
    own = {"user_id": "userId", "item_id": "movieId", "value": "rating"}
    ratings = read_csv(folder / "ratings.csv").renamed(own)
    films = read_csv(folder / "movies.csv")
    films.require("movieId", "title", "genres")
    ids, titles, genres = (
        [text or "" for text in films.text(name).to_pylist()] for name in ("movieId", "title", "genres")
    )
    genres = ["" if text.startswith("(no genres") else text for text in genres]
    tags = _tags(folder / "tags.csv") if (folder / "tags.csv").is_file() else {}
    return Sheets(ratings, _films("movies.csv", ids, titles, genres, ["|".join(tags.get(i, ())) for i in ids]))


def _tags(path: Path) -> dict[str, list[str]]:
    sheet = read_csv(path)
    sheet.require("movieId", "tag")
    counted: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for film, tag in zip(sheet.text("movieId").to_pylist(), sheet.text("tag").to_pylist(), strict=True):
        if film and tag:
            counted[film][tag.lower().replace("|", " ")] += 1
    return {film: [tag for tag, _ in counts.most_common(TAGS)] for film, counts in counted.items()}


def _films(
    name: str, ids: Sequence[str], titles: Sequence[str], genres: Sequence[str], tags: Sequence[str] = ()
) -> Sheet:
    """Return films as a sheet with declared types: a genre alone is a category all the same."""
    found = [_YEAR.search(title) for title in titles]
    columns = {
        "item_id": pa.array(ids, pa.string()),
        "title": pa.array(titles, pa.string()),
        "categories": pa.array(genres, pa.string()),
        "year": pa.array([float(year[1]) if year else None for year in found], pa.float64()),
    }
    if tags:
        lists = [text.split("|") if text else None for text in tags]
        columns["tags"] = pa.array(lists, pa.list_(pa.string()))
    return Sheet(name, pa.table(columns), np.arange(1, len(ids) + 1), True)


def _split(path: Path, separator: str, columns: Sequence[str]) -> list[list[str]]:
    """Return the rows of a file without header or quotes. Raises InputError naming the first line that is too short."""
    try:
        lines = path.read_text("latin-1").splitlines()
    except OSError as error:
        raise InputError(
            "folder", str(path.parent), f"a file {path.name} that can be read: {error.strerror}"
        ) from error
    rows = [line.split(separator) for line in lines]
    for number, row in enumerate(rows, 1):
        if len(row) < len(columns):
            raise InputError(f"{path.name}:{number}", lines[number - 1], f"{len(columns)} values between {separator!r}")
    return rows


def _sheet(name: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Sheet:
    cells = zip(*rows, strict=True) if rows else ((),) * len(columns)
    table = pa.table({column: pa.array(values, pa.string()) for column, values in zip(columns, cells, strict=True)})
    return Sheet(name, table, np.arange(1, len(rows) + 1), False)


_LAYOUTS: dict[str, Callable[[Path], Sheets]] = {
    "u.data": _read_100k,
    "ratings.dat": _read_1m,
    "ratings.csv": _read_latest,
}
