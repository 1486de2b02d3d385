"""Puts the settings together: defaults < TOML file < environment < flags. Holds no setting of its own."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from slatewise.domain.errors import ConfigError
from slatewise.domain.settings import DEFAULT_ACTIONS, ActionSettings, Settings
from slatewise.wiring.settings_layers import Given, Origin, from_environment, from_file, from_flags, read_environment
from slatewise.wiring.settings_schema import ACTIONS, action_specs, all_specs, leaf_of, nearest, section_specs, sections
from slatewise.wiring.settings_text import settings_markdown, to_toml
from slatewise.wiring.settings_values import coerce, refuse

__all__ = [
    "EffectiveSetting",
    "LoadedSettings",
    "effective",
    "load_settings",
    "read_environment",
    "settings_markdown",
    "to_toml",
]

_ACTION_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


@dataclass(frozen=True, slots=True)
class LoadedSettings:
    """Settings, and by dotted name where each one came from."""

    settings: Settings
    origin: Mapping[str, Origin]


class EffectiveSetting(NamedTuple):
    """One setting as it stands. ``value`` and ``default`` are of the setting's own type."""

    name: str
    value: Any
    origin: Origin
    default: Any
    help: str


def load_settings(
    toml_path: Path | None, environment: Mapping[str, str], overrides: Mapping[str, object]
) -> LoadedSettings:
    """Return the settings that hold, each with its origin.

    A *toml_path* that does not exist counts as empty. *overrides* maps dotted names to values or to their text. Tables
    ``[actions.NAME]`` change a kind of interaction or append a new one after the defaults, which keep their order.
    Raises ConfigError for an unknown name (with the nearest one), a value of the wrong kind, or a contradiction.
    """
    actions = list(DEFAULT_ACTIONS)
    given: dict[str, Given] = {}
    for one in (*from_file(toml_path), *from_environment(environment), *from_flags(overrides)):
        name = _admit(one, actions)
        if name is not None:
            given[name] = one
    specs = all_specs(actions)
    values = {name: spec.default for name, spec in specs.items()}
    for name, one in given.items():
        values[name] = _value(name, one, specs[name])
    settings = _build(actions, values)
    _check(settings)
    return LoadedSettings(settings, {n: given[n].origin if n in given else "default" for n in specs})


def effective(loaded: LoadedSettings) -> list[EffectiveSetting]:
    """Return every setting with its value, origin, default and help, in declared order."""
    rows = []
    for name, spec in all_specs(loaded.settings.actions).items():
        *path, leaf = name.split(".")
        holder: Any = getattr(loaded.settings, path[0])
        value = getattr(holder[path[1]] if path[0] == ACTIONS else holder, leaf)
        rows.append(EffectiveSetting(name, value, loaded.origin[name], spec.default, spec.help))
    return rows


def _admit(given: Given, actions: list[str]) -> str | None:
    """Return the setting's name, None for an empty action table; appends a new action to *actions*."""
    if given.name in section_specs():
        return given.name
    section, _, rest = given.name.partition(".")
    action, _, leaf = rest.partition(".")
    if section != ACTIONS or not action:
        if section in sections() and not rest:
            raise refuse(section, given.value, f"a table [{section}]")
        raise _unknown(given, actions)
    if given.origin == "environment":
        # Variables are written in capitals; what was declared in other letters is meant all the same.
        action = next((known for known in actions if known.lower() == action), action)
    if leaf and leaf not in {leaf_of(name) for name in action_specs(action)}:
        raise _unknown(given, [*actions, action])
    if not leaf and given.value != {}:
        raise refuse(given.name, given.value, f"a table [{given.name}]")
    if not _ACTION_NAME.fullmatch(action):
        raise ConfigError(f"{ACTIONS}.{action}: an action's name is letters, digits, '_' and '-'")
    if action not in actions:
        actions.append(action)
    return f"{ACTIONS}.{action}.{leaf}" if leaf else None


def _unknown(given: Given, actions: list[str]) -> ConfigError:
    where = "" if given.where == given.name else f" (from {given.where})"
    return ConfigError(f"{given.name}: unknown setting{where}; did you mean {nearest(given.name, actions)}?")


def _value(name: str, given: Given, spec: Any) -> Any:
    try:
        return coerce(spec, given.value, given.is_text)
    except ConfigError as problem:
        if given.where == name:
            raise
        raise ConfigError(f"{problem} (from {given.where})") from None


def _build(actions: list[str], values: Mapping[str, Any]) -> Settings:
    def of(prefix: str, names: Mapping[str, Any]) -> dict[str, Any]:
        return {leaf_of(n): values[n] for n in names if n.startswith(f"{prefix}.")}

    built: dict[str, Any] = {name: kind(**of(name, section_specs())) for name, kind in sections().items()}
    kinds = {a: ActionSettings(**of(f"{ACTIONS}.{a}", action_specs(a))) for a in actions}
    return Settings(actions=kinds, **built)


def _check(settings: Settings) -> None:
    default = settings.ingest.default_action
    if default not in settings.actions:
        raise refuse("ingest.default_action", default, "one of the actions " + ", ".join(settings.actions))
    pins = settings.reranking.pins
    for what in ("position", "item_id"):
        if len({getattr(pin, what) for pin in pins}) < len(pins):
            raise ConfigError(f"reranking.pins: two pins share one {what}")
    if settings.training.dim % settings.training.heads:
        raise refuse("training.heads", settings.training.heads, f"a divisor of training.dim ({settings.training.dim})")
