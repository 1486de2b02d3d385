"""The words of a shop: what its items, brands and people are called. Nothing here is random."""

from __future__ import annotations

from collections.abc import Sequence

DEPARTMENTS = {
    "clothing": ("shirt", "jacket", "trousers", "dress", "sweater", "coat"),
    "shoes": ("boots", "sneakers", "sandals", "loafers", "slippers", "heels"),
    "kitchen": ("pan", "kettle", "knife", "mug", "blender", "bowl"),
    "outdoor": ("tent", "backpack", "lantern", "hammock", "stove", "rope"),
    "home": ("lamp", "rug", "cushion", "mirror", "vase", "blanket"),
    "garden": ("planter", "shovel", "hose", "bench", "gnome", "shears"),
    "office": ("notebook", "chair", "pen", "desk", "binder", "stapler"),
    "sports": ("racket", "ball", "helmet", "gloves", "skates", "mat"),
}
BRANDS = (
    "Nordvik", "Alba", "Kestrel", "Mirador", "Oakline", "Pacific", "Quill", "Riverton", "Solano", "Tarn",
    "Umbra", "Vesper", "Wilder", "Xenia", "Yarrow", "Zephyr",
)  # fmt: skip
STYLES = (
    "classic", "relaxed", "slim", "vintage", "modern", "rustic", "sporty", "minimal", "bold", "floral",
    "striped", "compact", "premium", "light", "cosy", "industrial",
)  # fmt: skip
MATERIALS = (
    "cotton", "linen", "wool", "leather", "steel", "bamboo", "oak", "ceramic", "canvas", "glass", "cork", "copper",
)  # fmt: skip
COLOURS = ("black", "white", "red", "green", "blue", "yellow", "grey", "brown")
AGE_BANDS = ("18-24", "25-34", "35-44", "45-54", "55-64", "65+")
COUNTRIES = ("DE", "FR", "US", "JP", "BR", "IN", "SE", "KE")


def leaves(count: int) -> list[tuple[str, str]]:
    """Return (noun, department) of so many categories, departments in turn; nouns get numbers once they run out."""
    departments = list(DEPARTMENTS)
    named = []
    for place in range(count):
        department = departments[place % len(departments)]
        nouns = DEPARTMENTS[department]
        nth = place // len(departments)
        again = nth // len(nouns)
        named.append((nouns[nth % len(nouns)] + (f" {again + 1}" if again else ""), department))
    return named


def title(style: str, brand: str, material: str, noun: str) -> str:
    """Return an item's title, such as "Slim Nordvik linen shirt"."""
    return f"{style.capitalize()} {brand} {material} {noun}"


def numbered(kind: str, places: Sequence[int]) -> list[str]:
    """Return ids such as item-00042."""
    return [f"{kind}-{place:05d}" for place in places]
