"""Turns a value as given (text, or a TOML value) into a setting's own type, or says what would be right."""

from __future__ import annotations

import math
import tomllib
from types import MappingProxyType
from typing import Any, Literal, get_args, get_origin

from slatewise.domain.errors import ConfigError
from slatewise.wiring.settings_schema import SettingSpec, leaf_of
from slatewise.wiring.settings_tables import EXAMPLES, tables

AT_MOST = MappingProxyType(
    {
        "index.recall": 1,
        "index.audit": 1,
        "reranking.diversity": 1,
        "reranking.exploration": 1,
        "training.dropout": 1,
        "http.port": 65_535,
        "http.queue_share": 1,
    }
)
"""Upper bounds of the settings that have one."""

ABOVE_ZERO = frozenset(
    {
        "ingest.max_batch",
        "training.minutes",
        "training.ranker_minutes",
        "storage.history_length",
        "index.connectivity",
        "index.expansion_add",
        "index.expansion_search",
        "index.recall",
        "abuse.repeat_days",
        "ranking.limit",
        "serving.max_size",
        "cache.timeout_ms",
        "serving.cursor_ttl_s",
        "serving.deadline_ms",
        "training.dim",
        "training.history_length",
        "training.heads",
        "training.temperature",
        "training.negatives",
        "training.batch_size",
        "training.learning_rate",
        "training.epochs",
        "http.max_body_bytes",
        "http.head_s",
        "http.connections",
        "http.queue",
        "http.queue_share",
    }
)
"""Settings where nothing works at zero."""

_TRUTH = {"true": True, "1": True, "false": False, "0": False}


def coerce(spec: SettingSpec, value: object, is_text: bool) -> Any:
    """Return *value* as the setting's type.

    Text of a flag or the environment (*is_text*) is parsed; anything else must fit already.
    Raises ConfigError naming the setting, the value and what would be right.
    """
    parsed = _parse(spec, value) if is_text and isinstance(value, str) else _fit(spec, value)
    if parsed is None or not _in_range(spec, parsed):
        raise refuse(spec.name, value, expected(spec))
    return parsed


def refuse(name: str, value: object, right: str) -> ConfigError:
    """Return the error for a setting's wrong value."""
    shown = repr(value)
    return ConfigError(f"{name}: got {shown if len(shown) <= 80 else shown[:77] + '...'}, expected {right}")


def expected(spec: SettingSpec) -> str:
    """Say in words what the setting may be."""
    kind = spec.kind
    if get_origin(kind) is Literal:
        return "one of " + ", ".join(repr(choice) for choice in get_args(kind))
    if kind is bool:
        return "true or false"
    if kind in (int, float):
        return ("a whole number" if kind is int else "a number") + _range_words(spec)
    if kind is str:
        return "text"
    return f"an array of tables such as {EXAMPLES[kind]}"


def is_signed(spec: SettingSpec) -> bool:
    """Whether the number may be negative: only an action's weight may."""
    return spec.name.startswith("actions.") and leaf_of(spec.name) == "weight"


def _range_words(spec: SettingSpec) -> str:
    if is_signed(spec):
        return ""
    least = " above 0" if spec.name in ABOVE_ZERO else " of at least 0"
    return least + (f" and at most {AT_MOST[spec.name]}" if spec.name in AT_MOST else "")


def _in_range(spec: SettingSpec, value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float) or is_signed(spec):
        return True
    if value > AT_MOST.get(spec.name, math.inf):
        return False
    return value > 0 if spec.name in ABOVE_ZERO else value >= 0


def _parse(spec: SettingSpec, text: str) -> Any:
    """Return the value a text stands for, None where it stands for none."""
    kind, text = spec.kind, text.strip()
    if kind is bool:
        return _TRUTH.get(text.lower())
    if kind is str or get_origin(kind) is Literal:
        return _fit(spec, text)
    try:
        if kind in (int, float):
            return _fit(spec, kind(text))
        return _fit(spec, tomllib.loads(f"value = {text}")["value"])
    except (ValueError, KeyError, RecursionError):
        return None


def _fit(spec: SettingSpec, value: object) -> Any:
    """Return *value* where it is of the setting's kind (whole numbers count as numbers), None where it is not."""
    kind = spec.kind
    if get_origin(kind) is Literal:
        return value if value in get_args(kind) else None
    if kind is bool or kind is str:
        return value if isinstance(value, kind) else None
    if isinstance(value, bool):
        return None
    if kind is int:
        return value if isinstance(value, int) else None
    if kind is float:
        return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
    return tables(kind, spec.name, value)
