"""What settings exist, read off the classes of ``domain/settings.py``. Knows no value that anybody set."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from functools import cache
from types import MappingProxyType
from typing import Any, get_type_hints

from slatewise.domain.settings import DEFAULT_ACTIONS, ActionSettings, Settings

ACTIONS = "actions"

SUCCESSORS = MappingProxyType({"cache.size": "cache.max_bytes, which counts bytes, not slates"})
"""What took the place of settings that earlier releases had."""


@dataclass(frozen=True, slots=True)
class SettingSpec:
    """One setting. ``name`` is dotted, ``kind`` its type as declared."""

    name: str
    kind: Any
    default: Any
    help: str


@cache
def sections() -> Mapping[str, type]:
    """Return each section's class by name, in declared order; ``actions`` is not among them."""
    hints = get_type_hints(Settings)
    return {f.name: hints[f.name] for f in fields(Settings) if f.name != ACTIONS}


@cache
def section_specs() -> Mapping[str, SettingSpec]:
    """Return every setting outside ``actions`` by its dotted name, in declared order."""
    return {spec.name: spec for name, kind in sections().items() for spec in _specs(name, kind)}


def action_specs(action: str) -> Mapping[str, SettingSpec]:
    """Return the settings of one kind of interaction by dotted name; a new one has the class's defaults."""
    preset = DEFAULT_ACTIONS.get(action, ActionSettings())
    specs = _specs(f"{ACTIONS}.{action}", ActionSettings)
    return {s.name: SettingSpec(s.name, s.kind, getattr(preset, leaf_of(s.name)), s.help) for s in specs}


def all_specs(actions: Iterable[str] = tuple(DEFAULT_ACTIONS)) -> dict[str, SettingSpec]:
    """Return every setting by dotted name, those of *actions* first."""
    of_actions = {name: spec for action in actions for name, spec in action_specs(action).items()}
    return {**of_actions, **section_specs()}


def leaf_of(name: str) -> str:
    """Return the last part of a dotted name."""
    return name.rpartition(".")[2]


def nearest(name: str, actions: Iterable[str]) -> str:
    """Return what took the place of *name*, else the known name that looks most like it.

    A word shared at the end counts more than nothing.
    """
    if name in SUCCESSORS:
        return SUCCESSORS[name]
    known = [*all_specs(actions), *sections(), ACTIONS]
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    if close:
        return close[0]
    by_leaf = {leaf_of(k): k for k in known}
    close = difflib.get_close_matches(leaf_of(name), by_leaf, n=1, cutoff=0.0)
    return by_leaf[close[0]] if close else known[0]


def _specs(prefix: str, kind: type) -> list[SettingSpec]:
    hints, blank = get_type_hints(kind), kind()
    specs = []
    for f in fields(kind):
        specs.append(SettingSpec(f"{prefix}.{f.name}", hints[f.name], getattr(blank, f.name), f.metadata["help"]))
    return specs
