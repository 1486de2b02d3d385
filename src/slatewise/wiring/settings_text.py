"""Writes settings for people: a TOML file that reads back to the same values, and the reference page."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, Literal, get_args, get_origin

from slatewise.domain.settings import Settings
from slatewise.wiring.settings_layers import PREFIX
from slatewise.wiring.settings_schema import SettingSpec, action_specs, all_specs, leaf_of, section_specs, sections

_PREFACE = f"""# Settings

Defaults < `slatewise.toml` in the home folder < environment (`{PREFIX}SECTION__NAME`) < flags. In a variable's name,
every dot of the setting becomes two underscores. This page is made from the settings classes; `slatewise settings`
prints the values that hold and where each came from.
"""

_ACTIONS_PREFACE = """Kinds of interaction. A table `[actions.NAME]` changes one of these, or appends a new one, which
starts with the values of the last rows."""

_HEAD = "| Setting | Default | May be | Meaning |\n|---|---|---|---|"


def to_toml(settings: Settings) -> str:
    """Return *settings* as TOML with every value spelled out and explained; loading it gives equal settings."""
    parts = []
    for action, values in settings.actions.items():
        parts.append(_table(f"actions.{_key(action)}", action_specs(action).values(), values, explained=False))
    for name in sections():
        specs = (s for s in section_specs().values() if s.name.startswith(f"{name}."))
        parts.append(_table(name, specs, getattr(settings, name), explained=True))
    return "\n".join(parts)


def settings_markdown() -> str:
    """Return the reference page of every setting, made from the classes."""
    parts = [_PREFACE, _section("actions", _ACTIONS_PREFACE, [*all_specs().values(), *action_specs("NAME").values()])]
    for name, kind in sections().items():
        parts.append(_section(name, (kind.__doc__ or "").strip(), section_specs().values()))
    return "\n".join(parts)


def shown(value: Any) -> str:
    """Return one value as TOML would write it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return f"[{', '.join(map(shown, value))}]"
    if is_dataclass(value):
        return shown({f.name: getattr(value, f.name) for f in fields(value)})
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_key(name)} = {shown(inner)}" for name, inner in value.items()) + "}"
    if isinstance(value, str):
        # JSON's escapes are TOML's, but for the one control character that JSON leaves alone.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return repr(value)


def _section(name: str, preface: str, specs: Iterable[SettingSpec]) -> str:
    rows = [_row(s) for s in specs if s.name.startswith(f"{name}.")]
    return "\n".join([f"## {name}\n", f"{preface}\n", _HEAD, *rows]) + "\n"


def _table(title: str, specs: Iterable[SettingSpec], values: Any, explained: bool) -> str:
    lines = [f"[{title}]"]
    for spec in specs:
        if explained:
            lines.append(f"# {spec.help}")
        lines.append(f"{leaf_of(spec.name)} = {shown(getattr(values, leaf_of(spec.name)))}")
    return "\n".join(lines) + "\n"


def _key(name: str) -> str:
    bare = bool(name) and all(c.isascii() and (c.isalnum() or c in "_-") for c in name)
    return name if bare else shown(name)


def _row(spec: SettingSpec) -> str:
    default = shown(spec.default)
    return f"| `{spec.name}` | `{default}` | {_kind(spec.kind)} | {spec.help.replace('|', chr(92) + '|')} |"


def _kind(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return ", ".join(f"`{choice}`" for choice in get_args(kind))
    names = {bool: "true or false", int: "whole number", float: "number", str: "text"}
    return names.get(kind, "array of tables")
