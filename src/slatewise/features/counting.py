"""Counting for the ranker's features: native where it was built, else the same in NumPy. Chosen once, at import.

Three lookups that NumPy can only do in dozens of small steps, each of which costs more than the work in it. Both give
the same numbers to the last bit; what is made of them is written once, by the features.
"""

from __future__ import annotations

from contextlib import suppress
from importlib import import_module
from typing import Any

from slatewise.features import counting_numpy

counting: Any = counting_numpy
with suppress(ImportError):
    counting = import_module("slatewise.features._counts")
