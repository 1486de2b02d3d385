"""A simulated shop with a known truth: a past to import, and live users who click. Knows nothing of recommenders."""

from slatewise.datasets.shop.export import write_shop
from slatewise.datasets.shop.generate import generate
from slatewise.datasets.shop.live import Shop
from slatewise.datasets.shop.settings import ShopSettings

__all__ = ["Shop", "ShopSettings", "generate", "write_shop"]
