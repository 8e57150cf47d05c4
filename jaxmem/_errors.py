"""Errors. Each message has three parts: what was wrong with the value, what is allowed, the line to type."""

import difflib
from collections.abc import Iterable, Sequence


class JaxmemError(ValueError):
    """A mistake in what was asked, as opposed to a solve that did not succeed."""


class ShapeError(JaxmemError):
    """Axes that do not fit together."""


class PhysicalRangeError(JaxmemError):
    """A quantity outside its range, most often a forgotten unit."""


class ElectroneutralityError(JaxmemError):
    """A solution that carries a net charge."""


class UnknownNameError(JaxmemError):
    """A species, membrane, feed or option that does not exist."""


class PrecisionError(JaxmemError):
    """Float32 numbers where float64 is needed."""


class IllPosedBoundaryError(JaxmemError):
    """A boundary condition that the discrete system cannot hold: round-off would be returned as a solution."""


class StoreMismatchError(JaxmemError):
    """A store of another study, or one that another process writes to."""


class DataFileError(JaxmemError):
    """A file that cannot be read as what it should be; says file, line and column."""


class ConvergenceError(RuntimeError):
    """A solve that found no solution in some lanes; says which, and what their inputs were."""


def unknown(kind: str, name: object, known: Iterable[str], hint: str, close: Sequence[str] = ()) -> UnknownNameError:
    """An ``UnknownNameError`` that names the closest existing names."""
    names = sorted(known)
    close = list(close) or difflib.get_close_matches(str(name), names, n=3, cutoff=0.4)
    lower = {n.lower(): n for n in names}
    close = close or [lower[c] for c in difflib.get_close_matches(str(name).lower(), lower, n=3, cutoff=0.4)]
    meant = (
        f"Closest: {', '.join(close)}."
        if close
        else f"Known: {', '.join(names[:12])}{', ...' if len(names) > 12 else ''}."
    )
    return UnknownNameError(f"{kind} {name!r} is not known. {meant} {hint}")


def check_seed(seed: object) -> None:
    """Refuse what is no seed of a random generator."""
    if isinstance(seed, bool) or not hasattr(seed, "__index__") or seed < 0:  # type: ignore[operator]
        raise JaxmemError(f"seed = {seed!r} is no whole number from 0 on. Write seed=0.")
