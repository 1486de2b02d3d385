"""Which sources there are and in what order: the same for training and for serving. Knows no query."""

from __future__ import annotations

from slatewise.domain.settings import RetrievalSettings
from slatewise.ports.features import FeatureState
from slatewise.ports.index import VectorIndex
from slatewise.ports.stages import Source
from slatewise.ports.stores import Catalogue
from slatewise.retrieval.blended import Blend, BlendedSource
from slatewise.retrieval.item_to_item import ItemToItemSource
from slatewise.retrieval.new_arrivals import NewArrivalsSource
from slatewise.retrieval.trending import TrendingSource
from slatewise.retrieval.two_tower import TwoTowerSource


def line_up(
    index: VectorIndex, state: FeatureState, catalogue: Catalogue, limits: RetrievalSettings, blend: Blend | None = None
) -> list[Source]:
    """Return the sources in order of trust: the first to offer a row keeps it.

    One with a limit of 0 is left out.

    The ranker learns from what these offer, so serving must ask the same ones in the same order. With a *blend* the
    first source weighs neighbour lists in.
    """
    first: Source = (
        TwoTowerSource(index, limits.two_tower) if blend is None else BlendedSource(index, blend, limits.two_tower)
    )
    sources = [
        first,
        ItemToItemSource(state, limits.item_to_item),
        TrendingSource(state, limits.trending),
        NewArrivalsSource(catalogue, limits.new_arrivals),
    ]
    return [source for source in sources if source.limit > 0]
