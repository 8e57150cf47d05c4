"""The comparison used for reference numbers sees a difference: golden numbers that cannot fail prove nothing."""

import numpy as np
import pytest

from tests.rivals.reference import reference, table, worst


def golden() -> np.ndarray:
    """Observed rejections of the exact cases, NaN where a case lacks an ion."""
    rows = [entry["outputs"]["R_obs"] for entry in reference()["exact_cases"]]
    ions = sorted({name for row in rows for name in row})
    return table(rows, ions)


def test_equal_numbers_pass() -> None:
    assert worst(golden(), golden()) == 0.0


@pytest.mark.parametrize("size", [1e-5, -1e-5])
def test_one_perturbed_value_fails(size: float) -> None:
    theirs = golden()
    for where in np.argwhere(np.isfinite(theirs)):
        ours = theirs.copy()
        ours[tuple(where)] += size
        with pytest.raises(AssertionError):
            assert worst(ours, theirs) < 1e-6


def test_a_missing_value_of_ours_fails() -> None:
    """NaN where the reference has a number must not pass."""
    theirs = golden()
    ours = theirs.copy()
    ours[tuple(np.argwhere(np.isfinite(theirs))[0])] = np.nan
    with pytest.raises(AssertionError):
        assert worst(ours, theirs) < 1e-6
