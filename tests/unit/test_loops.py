"""The loops of an accelerator give the numbers of those of a CPU."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmem as jm
from jaxmem.linalg.loops import in_units
from jaxmem.linalg.small_dense import gauss_jordan
from jaxmem.linalg.tridiagonal_rows import solve_rows
from jaxmem.models.dspmde import sweeps


def test_several_turns_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    key = jax.random.split(jax.random.key(0), 4)
    lower, upper, right = (jax.random.normal(k, (37, 5)) for k in key[:3])
    main = 4.0 + jnp.abs(lower) + jnp.abs(upper)
    matrix = jnp.eye(5)[..., None] * 4.0 + jax.random.normal(key[3], (5, 5, 7))
    here = solve_rows(lower, main, upper, right), gauss_jordan(matrix, matrix[:, :2])
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    there = solve_rows(lower, main, upper, right), gauss_jordan(matrix, matrix[:, :2])
    for a, b in zip(here, there, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)


def test_turns_of_a_loop_of_units(monkeypatch: pytest.MonkeyPatch) -> None:
    """In order, none left out or twice, whether the number of turns is traced or not."""

    def digits(total: jax.Array | int) -> jax.Array:
        return in_units(total, 3, lambda p, seen: 7.0 * seen + p, 1.0)

    here = float(digits(12))
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert float(digits(12)) == float(jax.jit(digits)(jnp.asarray(12))) == here


def test_the_root_finder_of_an_accelerator(monkeypatch: pytest.MonkeyPatch) -> None:
    """First sweep in one piece, two segments in a turn, sums by additions: the same roots."""
    model = jm.DSPMDE(activity="ideal")
    flux = jm.FluxDriven(jnp.linspace(1.0, 100.0, 10) * jm.units.LMH)
    case = jm.Case(jm.feed("brackish8"), jm.membrane("NF270"), flux)
    found = jm.solve(model, case)
    core, form = found.state.core, model.form(case)._replace(reverse=False)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    there = jax.jit(lambda core: sweeps._solve(core, form, model.effort(), jnp.ones(10, bool)))(core)
    assert bool(there.solved.all())
    np.testing.assert_allclose(there.y, found.state.root.y, rtol=1e-10, atol=1e-10)
    np.testing.assert_array_equal(there.grid, found.state.root.grid)
