"""Options that several verbs share, and how they become an opened HOME."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from slatewise.domain.errors import InputError
from slatewise.domain.events import AttributeValue
from slatewise.domain.settings import Settings
from slatewise.wiring.folders import Folders
from slatewise.wiring.home import SETTINGS_FILE, Home
from slatewise.wiring.open_log import has_log
from slatewise.wiring.settings import load_settings, read_environment

HomeOption = Annotated[
    Path | None, typer.Option("--home", help="The HOME folder. Default: $SLATEWISE_HOME, else ./slatewise-home.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Override a setting, e.g. --set training.dim=32."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]


def pairs(option: str, given: list[str] | None) -> dict[str, str]:
    """Return NAME=VALUE options as a mapping. Raises InputError for one without an equals sign."""
    found: dict[str, str] = {}
    for text in given or []:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise InputError(option, text, "NAME=VALUE")
        found[name.strip()] = value.strip()
    return found


def scalars(option: str, given: list[str] | None) -> dict[str, AttributeValue]:
    """Return NAME=VALUE options with their values as JSON means them, anything else as text: so ``5`` is a number,
    ``true`` a flag, and ``"5"`` in double quotes text."""
    return {name: _scalar(text) for name, text in pairs(option, given).items()}


def numbers(option: str, given: list[str] | None) -> dict[str, float]:
    """Return NAME=NUMBER options as a mapping. Raises InputError for one that is no number."""
    found: dict[str, float] = {}
    for name, text in pairs(option, given).items():
        try:
            found[name] = float(text)
        except ValueError:
            raise InputError(option, f"{name}={text}", "NAME=NUMBER") from None
    return found


def _scalar(text: str) -> str | float | bool:
    try:
        return msgspec.json.decode(text, type=str | float | bool)
    except msgspec.MsgspecError:
        return text


def home_path(home: Path | None) -> Path:
    """Return the folder meant: the option, the environment, or the default."""
    return home or Path(read_environment().get("SLATEWISE_HOME") or "slatewise-home")


def home_settings(path: Path, overrides: list[str] | None = None) -> Settings:
    """Return the settings of a HOME without opening it."""
    return load_settings(path / SETTINGS_FILE, read_environment(), pairs("--set", overrides)).settings


def open_home(home: Path | None, overrides: list[str] | None, *, must_exist: bool = False) -> Home:
    """Open the HOME. Raises InputError where it must exist and does not."""
    path = home_path(home)
    if must_exist and not has_log(Folders(path).log, home_settings(path, overrides)):
        raise InputError("--home", str(path), "a HOME folder made by `slatewise import` or `slatewise demo`")
    return Home(path, settings=pairs("--set", overrides))
