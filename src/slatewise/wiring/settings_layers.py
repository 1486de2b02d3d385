"""Where settings come from: a TOML file, the environment, flags. Turns each into named values; judges none of them."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from slatewise.domain.errors import ConfigError
from slatewise.wiring.settings_schema import ACTIONS, section_specs

PREFIX = "SLATEWISE_"

Origin: TypeAlias = Literal["default", "file", "environment", "flag"]


@dataclass(frozen=True, slots=True)
class Given:
    """One value somebody set. ``where`` is what that person would recognise: a file or a variable's name."""

    name: str
    value: object
    is_text: bool
    origin: Origin
    where: str


def read_environment() -> dict[str, str]:
    """Return this process's variables that start with ``SLATEWISE_``."""
    found = os.environ  # noqa: TID251 - wiring reads the environment, here and nowhere else
    return {name: value for name, value in found.items() if name.startswith(PREFIX)}


def from_file(path: Path | None) -> Iterator[Given]:
    """Yield what the file sets; nothing where there is no file. Raises ConfigError where it is no TOML."""
    if path is None:
        return
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return
    except (OSError, ValueError, RecursionError) as problem:
        raise ConfigError(f"{path.name}: cannot be read as TOML: {problem}") from problem
    for section, table in tables.items():
        if not isinstance(table, dict):
            yield Given(section, table, False, "file", path.name)
            continue
        for name, value in table.items():
            # A table of one action holds settings; any other table is a value, right or wrong.
            leaves = value if section == ACTIONS and isinstance(value, dict) and value else {"": value}
            for leaf, inner in leaves.items():
                yield Given(".".join(filter(None, (section, name, leaf))), inner, False, "file", path.name)


def from_environment(environment: Mapping[str, str]) -> Iterator[Given]:
    """Yield what ``SLATEWISE_SECTION__NAME`` variables set; other variables are none of our business.

    Raises ConfigError for a variable that means a setting but has one underscore where two belong.
    """
    flat = {PREFIX + name.replace(".", "_").upper(): name for name in section_specs()}
    for variable, text in environment.items():
        if not variable.startswith(PREFIX):
            continue
        if "__" in variable:
            name = variable.removeprefix(PREFIX).lower().replace("__", ".")
            yield Given(name, text, True, "environment", variable)
        elif variable in flat:
            right = PREFIX + flat[variable].replace(".", "__").upper()
            raise ConfigError(f"{variable}: unknown setting; did you mean {right}?")


def from_flags(overrides: Mapping[str, object]) -> Iterator[Given]:
    """Yield what was asked for explicitly, by dotted name."""
    for name, value in overrides.items():
        yield Given(name, value, True, "flag", name)
