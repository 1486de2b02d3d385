"""Sheets put together into one dataset: the path that every reader shares. Knows no file and no folder."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from slatewise.datasets import catalogue_rows, impressions, interactions
from slatewise.datasets.dataset import Dataset
from slatewise.datasets.rejects import refuse_if_strict
from slatewise.datasets.sheet import Sheet
from slatewise.domain.errors import InputError
from slatewise.domain.events import Interaction


@dataclass(frozen=True, slots=True)
class Sheets:
    """What a source holds; everything but the interactions is optional."""

    interactions: Sheet
    items: Sheet | None = None
    users: Sheet | None = None
    impressions: Sheet | None = None

    @property
    def present(self) -> list[Sheet]:
        """The sheets that are there."""
        return [sheet for sheet in (self.interactions, self.items, self.users, self.impressions) if sheet is not None]


_OWN = (
    frozenset(interactions.COLUMNS),
    frozenset(catalogue_rows.ITEM_COLUMNS),
    frozenset(catalogue_rows.USER_COLUMNS),
    frozenset(impressions.COLUMNS),
)


def assemble(
    given: Sheets,
    *,
    mapping: Mapping[str, str],
    default_action: str,
    actions: Collection[str],
    now: float,
    strict: bool = False,
) -> Dataset:
    """Turn sheets into a dataset: columns renamed (ours=theirs), rows checked, events in order.

    Raises InputError for a mapped column that exists nowhere, a missing column, an unknown default action, and, where
    *strict*, for the first bad row.
    """
    if default_action not in actions:
        raise InputError("default_action", default_action, f"one of {', '.join(actions)}")
    _check_mapping(given, mapping)
    optional = (
        None if sheet is None else sheet.renamed(mapping, own)
        for sheet, own in zip((given.items, given.users, given.impressions), _OWN[1:], strict=True)
    )
    acted, (items, users, shown) = given.interactions.renamed(mapping, _OWN[0]), optional
    events, rejects = interactions.read_interactions(acted, default_action, actions, now)
    refuse_if_strict(rejects, strict)
    since = _since(events, now)
    changes, refused = catalogue_rows.read_items(items, since, now) if items else ([], [])
    refuse_if_strict(refused, strict)
    rejects += refused
    people, refused = catalogue_rows.read_users(users, since) if users else ([], [])
    refuse_if_strict(refused, strict)
    rejects += refused
    slates, refused = impressions.read_impressions(shown, now) if shown else ([], [])
    refuse_if_strict(refused, strict)
    rejects += refused
    return Dataset(
        items=changes,
        users=people,
        interactions=events,
        impressions=slates,
        rejects=rejects,
        rows_read=sum(sheet.rows_read for sheet in given.present),
        ignored=tuple(name for name in acted.columns if name not in interactions.COLUMNS),
    )


def _check_mapping(given: Sheets, mapping: Mapping[str, str]) -> None:
    there = {name for sheet in given.present for name in sheet.columns}
    for ours, theirs in mapping.items():
        if theirs not in there:
            held = "; ".join(f"{sheet.name} has {', '.join(sheet.columns)}" for sheet in given.present)
            raise InputError("map", f"{ours}={theirs}", f"a column that exists: {held}")


def _since(events: list[Interaction], now: float) -> float:
    return next((event.at for event in events if event.at is not None), now)
