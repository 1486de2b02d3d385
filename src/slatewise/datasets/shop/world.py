"""What is true of a shop's items and people: hidden factors, prices, tastes. Drawn by a generator, never changed."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Self

import numpy as np
import numpy.typing as npt

from slatewise.datasets.shop import words
from slatewise.datasets.shop.settings import DAY_S, ShopSettings
from slatewise.domain.events import ItemChange, UserChange
from slatewise.domain.ids import Rows, Vectors

Floats = npt.NDArray[np.float64]

OLDEST_DAYS = 700.0
FAVOURITES = 3
"""Categories in one taste."""


class _Columns:
    """Grows by appending the columns of another."""

    def __len__(self) -> int:
        return len(getattr(self, fields(self)[0].name))  # type: ignore[arg-type]

    def take(self, rows: Rows) -> Self:
        """Return the chosen rows."""
        return type(self)(*(getattr(self, one.name)[rows] for one in fields(self)))  # type: ignore[arg-type]

    def extend(self, other: Self) -> None:
        """Append another's rows."""
        for one in fields(self):  # type: ignore[arg-type]
            setattr(self, one.name, np.concatenate([getattr(self, one.name), getattr(other, one.name)]))


@dataclass(slots=True)
class Items(_Columns):
    """Items by row. ``factor`` is ``(n, dim)`` of unit length; ``appeal`` is log popularity; ``cost`` is how dear an
    item is within its category, in standard deviations."""

    factor: Vectors
    leaf: Rows
    brand: Rows
    style: Rows
    material: Rows
    colours: npt.NDArray[np.bool_]
    price: Floats
    cost: Floats
    appeal: Floats
    created_at: Floats


@dataclass(slots=True)
class People(_Columns):
    """Users by row. Tastes wander from ``first`` towards ``second``, each ``(n, dim)`` of unit length, at ``pace``."""

    first: Vectors
    second: Vectors
    pace: Floats
    thrift: Floats
    activity: Floats
    age: Rows
    country: Rows


class World:
    """The factors behind words and categories. The same settings give the same world."""

    def __init__(self, settings: ShopSettings, rng: np.random.Generator) -> None:
        self.settings = settings
        self.leaves = words.leaves(settings.n_categories)
        named = list(words.DEPARTMENTS)
        departments = _normal(rng, len(named), settings.dim)
        department_of = np.array([named.index(department) for _, department in self.leaves])
        self._leaf = 0.7 * departments[department_of] + _normal(rng, len(self.leaves), settings.dim)
        self._brand = 0.6 * _normal(rng, len(words.BRANDS), settings.dim)
        self._style = 0.6 * _normal(rng, len(words.STYLES), settings.dim)
        self._material = 0.4 * _normal(rng, len(words.MATERIALS), settings.dim)
        self._age = 0.4 * _normal(rng, len(words.AGE_BANDS), settings.dim)
        self._log_price = rng.normal(3.0, 0.8, len(self.leaves))

    def draw_items(self, created_at: Floats, rng: np.random.Generator) -> Items:
        """Draw one item per time of creation."""
        size = created_at.size
        leaf, brand, style, material = (
            rng.integers(len(of), size=size) for of in (self._leaf, self._brand, self._style, self._material)
        )
        factor = self._leaf[leaf] + self._brand[brand] + self._style[style] + self._material[material]
        cost = rng.normal(size=size)
        colours = np.zeros((size, len(words.COLOURS)), bool)
        colours[np.arange(size)[:, None], rng.integers(len(words.COLOURS), size=(size, 2))] = True
        return Items(
            factor=_unit(factor + 0.4 * _normal(rng, size, self.settings.dim)),
            leaf=leaf,
            brand=brand,
            style=style,
            material=material,
            colours=colours,
            price=np.round(np.exp(self._log_price[leaf] + 0.4 * cost), 2).astype(np.float64),
            cost=cost,
            appeal=rng.exponential(1 / self.settings.popularity_exponent, size),
            created_at=created_at,
        )

    def draw_people(self, size: int, rng: np.random.Generator) -> People:
        """Draw so many users."""
        age = rng.integers(len(words.AGE_BANDS), size=size)
        return People(
            first=self._tastes(age, rng),
            second=self._tastes(age, rng),
            pace=rng.uniform(0.3, 1.7, size),
            thrift=rng.gamma(2.0, 0.25, size),
            activity=np.minimum((rng.pareto(2.5, size) + 0.3), 12.0),
            age=age,
            country=rng.integers(len(words.COUNTRIES), size=size),
        )

    def draw_past(self, rng: np.random.Generator) -> Items:
        """Draw the settings' items: most from before the period, some arriving during it, in whole seconds."""
        settings = self.settings
        arriving = int(settings.n_items * settings.arriving_share)
        before = settings.start - rng.uniform(0, OLDEST_DAYS * DAY_S, settings.n_items - arriving)
        during = rng.uniform(settings.start, settings.end, arriving)
        return self.draw_items(np.floor(np.sort(np.concatenate([before, during]))), rng)

    def _tastes(self, age: Rows, rng: np.random.Generator) -> Vectors:
        size = age.size
        leaf = rng.integers(len(self._leaf), size=(size, FAVOURITES))
        brand = rng.integers(len(self._brand), size=(size, 2))
        style = rng.integers(len(self._style), size=(size, 2))
        share = rng.dirichlet(np.full(FAVOURITES, 2.0), size)[:, :, None]
        wanted = FAVOURITES**0.5 * (self._leaf[leaf] * share).sum(1)
        return _unit(wanted + 0.7 * self._brand[brand].sum(1) + 0.7 * self._style[style].sum(1) + self._age[age])

    def describe_items(self, items: Items, rows: Rows) -> list[ItemChange]:
        """Return what the shop's catalogue says of items: nothing hidden."""
        changes = []
        for item_id, row in zip(words.numbered("item", rows.tolist()), rows.tolist(), strict=True):
            noun, department = self.leaves[items.leaf[row]]
            brand, material = words.BRANDS[items.brand[row]], words.MATERIALS[items.material[row]]
            created_at = float(items.created_at[row])
            changes.append(
                ItemChange(
                    at=created_at,
                    item_id=item_id,
                    title=words.title(words.STYLES[items.style[row]], brand, material, noun),
                    categories=(noun, department),
                    attributes={
                        "price": float(items.price[row]),
                        "brand": brand,
                        "colours": tuple(c for c, has in zip(words.COLOURS, items.colours[row], strict=True) if has),
                    },
                    created_at=created_at,
                )
            )
        return changes


def describe_people(people: People, rows: Rows, at: float) -> list[UserChange]:
    """Return what the shop knows of users, told at this instant."""
    return [
        UserChange(
            at=at,
            user_id=user_id,
            attributes={"age_band": words.AGE_BANDS[people.age[row]], "country": words.COUNTRIES[people.country[row]]},
        )
        for user_id, row in zip(words.numbered("user", rows.tolist()), rows.tolist(), strict=True)
    ]


def _normal(rng: np.random.Generator, size: int, dim: int) -> Vectors:
    return rng.standard_normal((size, dim)).astype(np.float32)


def _unit(vectors: npt.NDArray[np.floating]) -> Vectors:
    unit: Vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return unit
