"""Quantities of a case file: numbers with units, and ranges of them."""

from typing import Any

import numpy as np

from . import units
from ._errors import JaxmemError

MOST = 1_000_000  # values of a range


def amount(key: str, text: Any, *dimensions: str) -> tuple[float, str]:
    """A quantity of one of the ``dimensions``, in SI, and which; a mistake is named with its key."""
    refusals = []
    for dimension in dimensions:
        try:
            return units.parse(text, dimension), dimension
        except JaxmemError as error:
            refusals.append(error)
    raise JaxmemError(f"{key!r}: {refusals[0]}") from refusals[0]


def span(key: str, text: Any, *dimensions: str) -> np.ndarray | float:
    """One quantity, or ``["5 LMH", "100 LMH", 40]``: from, to, how many."""
    if not isinstance(text, list):
        return amount(key, text, *dimensions)[0]
    if len(text) == 3 and isinstance(text[2], int) and text[2] > MOST:
        raise JaxmemError(
            f"{key} = {text} are {text[2]:,} values. Ask for {MOST:,} at most: write {key} = {[*text[:2], 1000]}."
        )
    if len(text) != 3 or not isinstance(text[2], int) or isinstance(text[2], bool) or text[2] < 2:
        unit = next(iter(units.DIMENSIONS[dimensions[0]]))
        raise JaxmemError(
            f'{key} = {text} is not a range. Write {key} = ["5 {unit}", "50 {unit}", 40]: from, to, how many.'
        )
    return np.linspace(*(amount(key, x, *dimensions)[0] for x in text[:2]), text[2])
