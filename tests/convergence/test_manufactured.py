"""Nernst-Planck-Poisson-Stokes in the plane against a manufactured solution: second order in space of ions, potential, flow and current.

The potential is chosen, the charge follows from Poisson's equation, one ion from its walls, and the flow from the force by Chebyshev collocation
(no part of the package); what is left of the ion balances is the source that the discrete equations are then solved with, by Newton.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.polynomial import Chebyshev, Polynomial

from jaxmem.models.electroconvection.domain import Domain, Salt, domain
from jaxmem.models.electroconvection.flow import Velocity, creeping, curl_of_force, stream_function, velocity
from jaxmem.models.electroconvection.potential import right_hand_side
from jaxmem.models.electroconvection.transport import Fluxes, divergence, fluxes
from jaxmem.models.nernst_planck_poisson.equations import Wall
from jaxmem.models.nernst_planck_poisson.grid import stretched

EPS, KAPPA, VOLTS, HEIGHT, ENRICHMENT, LENGTH = 0.3, 120.0, 1.5, 1.2, 2.0, 1.6
K = 2.0 * np.pi / LENGTH
D = (1.3, 0.8)
P = Polynomial([0.0, 1.0]) * Polynomial([1.0, -1.0]) ** 3  # no charge at the upper wall: p = p'' = 0 there
Q = P.deriv(2) - K**2 * P  # of the Laplacian


def stokes(wavenumber: float, curl: Any) -> Chebyshev:
    """``(D^2 - k^2)^2 a = curl``, ``a = a' = 0`` at both walls."""
    n, basis = 40, [Chebyshev.basis(j, [0.0, 1.0]) for j in range(40)]
    y = 0.5 - 0.5 * np.cos(np.pi * (np.arange(n - 4) + 0.5) / (n - 4))
    bending = lambda b: b.deriv(4) - 2.0 * wavenumber**2 * b.deriv(2) + wavenumber**4 * b
    walls = [row for end in (0.0, 1.0) for row in ([b(end) for b in basis], [b.deriv()(end) for b in basis])]
    inside = np.stack([bending(b)(y) for b in basis], axis=1)
    found = np.linalg.solve(np.concatenate([inside, walls]), np.concatenate([curl(y), np.zeros(4)]))
    return Chebyshev(found, [0.0, 1.0])


# lap^2 psi = d_x f_y - d_y f_x with f = kappa lap phi grad phi: two modes
FIRST = stokes(K, lambda y: -KAPPA * HEIGHT * K * VOLTS * Q(y))
SECOND = stokes(2.0 * K, lambda y: 0.5 * KAPPA * HEIGHT**2 * K * (P * Q.deriv() - Q * P.deriv())(y))


def flow(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    u = FIRST.deriv()(y) * np.sin(K * x) + SECOND.deriv()(y) * np.sin(2.0 * K * x)
    v = -K * FIRST(y) * np.cos(K * x) - 2.0 * K * SECOND(y) * np.cos(2.0 * K * x)
    return u, v


def potential(x: Any, y: Any) -> Any:
    return VOLTS * y + HEIGHT * jnp.cos(K * x) * y * (1.0 - y) ** 3


def laplacian(x: Any, y: Any) -> Any:
    p, second = y * (1.0 - y) ** 3, -6.0 * (1.0 - y) ** 2 + 6.0 * y * (1.0 - y)
    return HEIGHT * jnp.cos(K * x) * (second - K**2 * p)


def ions(x: Any, y: Any) -> Any:
    """Cations fixed at the lower wall, where no anion passes; both stirred at the upper."""
    charge = lambda y: 2.0 * EPS**2 * laplacian(x, y)
    wall, zero = ENRICHMENT + charge(jnp.zeros_like(y)), jnp.zeros_like(y)
    rise = wall * jax.grad(potential, 1)(x, zero) - jax.grad(charge)(zero)
    cations = ENRICHMENT + rise * (y - y**2) + (1.0 - ENRICHMENT) * y**2
    return jnp.stack([cations, cations + charge(y)])


@jax.jit
@jax.vmap
def source(x: Any, y: Any, u: Any, v: Any) -> Any:
    """``div(u c - D (grad c + z c grad phi))``, both ions."""

    def flux(x: Any, y: Any) -> tuple[Any, Any]:
        c, z, diffusivity = ions(x, y), jnp.asarray([1.0, -1.0]), jnp.asarray(D)
        along = -diffusivity * (jax.jacfwd(ions, 0)(x, y) + z * c * jax.grad(potential, 0)(x, y))
        return along, -diffusivity * (jax.jacfwd(ions, 1)(x, y) + z * c * jax.grad(potential, 1)(x, y))

    diffused = jax.jacfwd(flux, 0)(x, y)[0] + jax.jacfwd(flux, 1)(x, y)[1]
    return diffused + u * jax.jacfwd(ions, 0)(x, y) + v * jax.jacfwd(ions, 1)(x, y)


class Exact(NamedTuple):
    c: Any
    phi: Any
    u: Any
    v: Any


def at_cells(d: Domain, n: int) -> tuple[Exact, Any]:
    """What the discrete fields stand for, and the source."""
    x, right = (np.arange(n) + 0.5) * LENGTH / n, (np.arange(n) + 1.0) * LENGTH / n
    y, faces = np.asarray(d.grid.centres), np.asarray(d.grid.faces)
    grid = [a.reshape(-1) for a in np.meshgrid(x, y)]
    u, v = flow(*np.meshgrid(x, y))
    folded = lambda a: jnp.moveaxis(a, -1, 0).reshape(2, n, n)
    c = folded(jax.vmap(ions)(*grid))
    phi = jax.vmap(potential)(*grid).reshape(n, n)
    sources = folded(source(*grid, u.reshape(-1), v.reshape(-1)))
    return Exact(c, phi, flow(*np.meshgrid(right, y))[0], flow(*np.meshgrid(x, faces))[1]), sources


def errors(n: int, central: bool) -> tuple[dict[str, float], Exact]:
    grid = stretched(n, ((jnp.asarray(EPS), 0.4),))
    d = domain(grid, jnp.asarray(LENGTH), n)
    low = Wall(jnp.asarray([ENRICHMENT, 1.0]), jnp.asarray([1.0, 0.0]))
    high, eps = Wall(jnp.ones(2), jnp.ones(2)), jnp.asarray(EPS)
    salt = Salt(jnp.asarray([1.0, -1.0]), jnp.asarray(D), eps, jnp.asarray(KAPPA), low, high)
    creep, volts = creeping(d), jnp.asarray(VOLTS)
    exact, given = at_cells(d, n)

    def moved(c: Any, phi: Any) -> tuple[Velocity, Fluxes]:
        w = velocity(d, stream_function(creep, curl_of_force(d, salt, c, phi))[0])
        return w, fluxes(d, salt, c, phi, volts, w, central)

    def residual(x: Any) -> Any:
        c, phi = x[: 2 * n * n].reshape(2, n, n), x[2 * n * n :].reshape(n, n)
        f = moved(c, phi)[1]
        left = (divergence(d, f.along.flux, f.across.flux) - given) * d.widths
        return jnp.concatenate(
            [left.reshape(-1), right_hand_side(d, salt, c, phi, volts, f, jnp.zeros(())).reshape(-1)]
        )

    @jax.jit
    def newton(x: Any) -> Any:
        return x - jnp.linalg.solve(jax.jacfwd(residual)(x), residual(x))

    x = jnp.concatenate([exact.c.reshape(-1), exact.phi.reshape(-1)])
    for _ in range(4):
        x = newton(x)
    assert float(jnp.max(jnp.abs(residual(x)))) < 1e-10
    c, phi = x[: 2 * n * n].reshape(2, n, n), x[2 * n * n :].reshape(n, n)
    w, f = moved(c, phi)
    rms = lambda off, h: float(jnp.sqrt(jnp.mean(off**2 * h) / jnp.mean(h)))
    current = -jnp.mean(f.across.flux[0, 0])
    known = float(D[0] * jax.grad(_mean_rise)(0.0))
    return {
        "ions": rms(c - exact.c, d.widths),
        "potential": rms(phi - exact.phi, d.widths),
        "along": rms(w.u - exact.u, d.widths),
        "normal": rms(w.v - exact.v, d.gaps),
        "current": abs(float(current) - known),
    }, exact


def _mean_rise(y: Any) -> Any:
    """``c+ + c+ phi`` of the wall, whose slope is the mean flux of cations there over D."""
    x = (np.arange(64) + 0.5) * LENGTH / 64
    wall = ENRICHMENT * jax.vmap(lambda x: potential(x, y))(x)
    return jnp.mean(jax.vmap(lambda x: ions(x, y)[0])(x) + wall)


@pytest.mark.parametrize("central", [False, True])
def test_second_order_in_space(central: bool) -> None:
    sizes = (12, 16, 24)
    found = [errors(n, central) for n in sizes]
    exact = found[-1][1]
    assert float(jnp.min(exact.c)) > 0.0
    assert float(np.max(np.abs(exact.u))) > 5.0  # the flow matters
    assert float(jnp.max(jnp.abs(exact.c[0] - exact.c[1]))) > 0.3  # and the charge
    for name in found[0][0]:
        off = np.asarray([e[name] for e, _ in found])
        slopes = np.log(off[:-1] / off[1:]) / np.log(np.asarray(sizes[1:]) / sizes[:-1])
        print(name, off, slopes)
        assert slopes[-1] > 1.9, (name, slopes)
