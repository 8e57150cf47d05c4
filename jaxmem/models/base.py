"""What every model is: physics plus discretisation, asked one question at a time (or a batch of them) by ``jm.solve``."""

import abc
from typing import Any

import equinox as eqx
from jax import Array

from ..case import Case


class AbstractModel(eqx.Module):
    """Physics options (static) and a discretisation. ``jm.solve(model, case)`` calls ``find`` and ``observe``."""

    @abc.abstractmethod
    def check(self, case: Case) -> None:
        """Refuse a case that this model cannot answer, with the line to type."""

    @abc.abstractmethod
    def initial_guess(self, case: Case) -> Any:
        """The exact limit that the solver starts from (zero flux, zero voltage)."""

    @abc.abstractmethod
    def find(self, case: Case) -> Any:
        """The state that solves the equations, for every lane; differentiable to every float of the case."""

    @abc.abstractmethod
    def residual(self, state: Any, case: Case) -> Array:
        """Scaled residual of a state, ``(*batch, K)``: what "solved" is judged by."""

    @abc.abstractmethod
    def observe(self, state: Any, case: Case) -> Any:
        """The Result of a state."""
