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
_ALL = frozenset[str]().union(*_OWN)


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
    acted = given.interactions.renamed(_meant(mapping, 0, given.interactions))
    items, users, shown = (
        None if sheet is None else sheet.renamed(_meant(mapping, kind, sheet))
        for kind, sheet in enumerate((given.items, given.users, given.impressions), 1)
    )
    events, rejects = interactions.read_interactions(acted, default_action, actions, now)
    refuse_if_strict(rejects, strict)
    since = _since(events, now)
    changes, refused = catalogue_rows.read_items(items, since, now) if items else ([], [])
    refuse_if_strict(refused, strict)
    rejects += refused
    people, refused = catalogue_rows.read_users(users, since) if users else ([], [])
    refuse_if_strict(refused, strict)
    rejects += refused
    slates, refused, unused = impressions.read_impressions(shown, now) if shown else ([], [], ())
    refuse_if_strict(refused, strict)
    rejects += refused
    return Dataset(
        items=changes,
        users=people,
        interactions=events,
        impressions=slates,
        rejects=rejects,
        rows_read=sum(sheet.rows_read for sheet in given.present),
        ignored=(*(name for name in acted.columns if name not in interactions.COLUMNS), *unused),
    )


def _check_mapping(given: Sheets, mapping: Mapping[str, str]) -> None:
    kinds = enumerate((given.interactions, given.items, given.users, given.impressions))
    used = {ours for kind, sheet in kinds if sheet for ours in _meant(mapping, kind, sheet)}
    there = {name for sheet in given.present for name in sheet.columns}
    for ours, theirs in mapping.items():
        if theirs not in there:
            held = "; ".join(f"{sheet.name} has {', '.join(sheet.columns)}" for sheet in given.present)
            raise InputError("map", f"{ours}={theirs}", f"a column that exists: {held}")
        if ours not in used:
            raise InputError("map", f"{ours}={theirs}", f"one of our names before the =: {', '.join(sorted(_ALL))}")


def _meant(mapping: Mapping[str, str], kind: int, sheet: Sheet) -> dict[str, str]:
    """Return the part of the mapping that means something in this sheet; *kind* is its place in `_OWN`."""
    own, others = _OWN[kind], _ALL - _OWN[kind]
    # All but interactions keep further columns, as attributes or context: any name will do that is not another sheet's.
    meant = {o: t for o, t in mapping.items() if t in sheet.columns and (o not in others if kind else o in own)}
    if kind != 3:
        return meant
    # ``timestamp=position`` is said of histories: slates have both columns, each with its own meaning.
    return {o: t for o, t in meant.items() if not (t in own and o in sheet.columns and t not in mapping)}


def _since(events: list[Interaction], now: float) -> float:
    return next((event.at for event in events if event.at is not None), now)
