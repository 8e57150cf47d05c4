"""SciPy ``solve_bvp`` on the pore equation: fourth-order collocation with an adaptive mesh, analytic Jacobians.

States are ``u_i = c_i/s_i`` over the pore coordinate 0..1 (section Pore), with s the pore concentration at zero flux,

    u_i' = A_i u_i - B_i c_p,i/s_i - z_i u_i V,      V = sum z (A c - B c_p) / sum z^2 c,

parameters are ``ln c_p`` (S), both Donnan potentials, the film field and the logarithm of the ionic strength at the
interface. The 2 S + 4 conditions are both faces, the film, and neutrality of exit, permeate and interface. Profiles
of excluded ions are smooth in u and nearly singular in ``ln c``: at tol 1e-10 the mesh is 10 to 100 times smaller.
"""

from dataclasses import dataclass

import numpy as np
from scipy.integrate import solve_bvp

from .problem import Array, Problem, column, donnan, film_law, imbalance, ln_gamma, peclet, strength

COMPLEX_STEP = 1e-30
ON_THE_WAY = 1e-4  # tolerance of the continuation steps
CONTINUATION_STEPS = 200


@dataclass(frozen=True)
class Flow:
    """What the equations read: the case, its flux, Peclet numbers and the scale of the states."""

    problem: Problem
    flux: float
    scale: Array  # (S,) s_i
    convection: Array  # (S,) A_i
    exchange: Array  # (S,) B_i


@dataclass(frozen=True)
class State:
    """Mesh, scaled concentrations on it, and parameters."""

    x: Array
    y: Array
    p: Array


def pore_field(u: Array, p: Array, flow: Flow) -> tuple[Array, Array, Array]:
    """Field V, its denominator ``sum z^2 c`` and the sources ``B c_p/s`` at all mesh points."""
    z, charge = flow.problem.charge, flow.problem.charge * flow.scale
    source = (flow.exchange * np.exp(p[: z.size]) / flow.scale)[:, None]
    below = (z * charge) @ u
    return (charge @ (flow.convection[:, None] * u - source)) / below, below, source


def slope(x: Array, u: Array, p: Array, flow: Flow) -> Array:
    """``du/dx`` at all mesh points."""
    del x
    field, _, source = pore_field(u, p, flow)
    return (flow.convection[:, None] - np.outer(flow.problem.charge, field)) * u - source


def slope_jacobian(x: Array, u: Array, p: Array, flow: Flow) -> tuple[Array, Array]:
    """Derivatives of ``du/dx``: ``(S, S, n)`` to the states and ``(S, S + 4, n)`` to the parameters."""
    z, size, each = flow.problem.charge, u.shape[0], np.arange(u.shape[0])
    field, below, source = pore_field(u, p, flow)
    mobile, charge = z[:, None] * u, z * flow.scale
    d_field = (charge[:, None] * (flow.convection[:, None] - np.outer(z, field))) / below
    to_state = -mobile[:, None] * d_field[None]
    to_state[each, each] += flow.convection[:, None] - np.outer(z, field)
    to_parameter = np.zeros((size, p.size, x.size))
    to_parameter[:, :size] = mobile[:, None] * (charge[:, None] * source / below)[None]
    to_parameter[each, each] -= source
    return to_state, to_parameter


def conditions(ua: Array, ub: Array, p: Array, flow: Flow) -> Array:
    """Residuals at both ends; trailing axes are independent columns."""
    problem, size = flow.problem, ua.shape[0]
    psi_p, psi_f, zeta, log_interface = p[size:]
    c_p, scale = np.exp(p[:size]), column(flow.scale, ua)
    z, partition, c_one, c_exit = column(problem.charge, ua), column(problem.partition, ua), scale * ua, scale * ub

    def ratio(above: Array, below: Array) -> Array:
        """Activity coefficients at one ionic strength over those at another."""
        if not problem.debye:
            return np.ones_like(c_p)
        return np.exp(ln_gamma(problem, above, c_p) - ln_gamma(problem, below, c_p))

    c_m = c_one * ratio(strength(problem, c_one), np.exp(log_interface)) / partition * np.exp(z * psi_f)
    exit_side = c_p * ratio(strength(problem, c_p), strength(problem, c_exit)) * partition * np.exp(-z * psi_p)
    exit_neutral = imbalance(problem, c_exit, problem.wall_charge / problem.total)
    closing = log_interface - np.log(strength(problem, c_m))
    scalars = np.stack([exit_neutral, imbalance(problem, c_p), imbalance(problem, c_m), closing])
    return np.concatenate([film_law(problem, flow.flux, c_m, c_p, zeta), ub - exit_side / scale, scalars])


def conditions_jacobian(ua: Array, ub: Array, p: Array, flow: Flow) -> tuple[Array, Array, Array]:
    """Derivatives of :func:`conditions` by complex steps, all columns at once."""
    size = ua.size
    both = np.concatenate([ua, ub, p])
    seeded = both[:, None] + 1j * COMPLEX_STEP * np.eye(both.size)
    full = np.imag(conditions(seeded[:size], seeded[size : 2 * size], seeded[2 * size :], flow)) / COMPLEX_STEP
    return full[:, :size], full[:, size : 2 * size], full[:, 2 * size :]


def zero_flux(problem: Problem, nodes: int = 9) -> tuple[State, Array]:
    """Uniform pore in Donnan equilibrium with the feed, ``c_p = c_b``; and the scale of the states."""
    psi, pore = donnan(problem)
    bulk = problem.concentration / problem.total
    p = np.concatenate([np.log(bulk), [psi, psi, 0.0, np.log(strength(problem, bulk))]])
    return State(np.linspace(0.0, 1.0, nodes), np.ones((bulk.size, nodes)), p), pore


def attempt(flow: Flow, start: State, tol: float, max_nodes: int) -> tuple[State, bool]:
    """One call of ``solve_bvp``; a success when converged with finite, positive concentrations."""
    try:
        found = solve_bvp(
            lambda x, u, p: slope(x, u, p, flow),
            lambda ua, ub, p: conditions(ua, ub, p, flow),
            start.x,
            start.y,
            p=start.p,
            fun_jac=lambda x, u, p: slope_jacobian(x, u, p, flow),
            bc_jac=lambda ua, ub, p: conditions_jacobian(ua, ub, p, flow),
            tol=tol,
            max_nodes=max_nodes,
        )
    except (ValueError, RuntimeError, np.linalg.LinAlgError):
        return start, False
    ok = found.status == 0 and bool(np.all(np.isfinite(found.p)) and np.all(found.y > -tol))
    return State(found.x, found.y, found.p), ok


def trace(problem: Problem, tol: float, max_nodes: int) -> tuple[State, bool]:
    """From zero flux to ``J_v``: the whole flux at once, else fractions that double or halve."""
    start, scale = zero_flux(problem)

    def flow(fraction: float) -> Flow:
        flux = fraction * problem.volume_flux
        return Flow(problem, flux, scale, *peclet(problem, flux))

    with np.errstate(all="ignore"):
        state, ok = attempt(flow(1.0), start, tol, max_nodes)
        if ok:
            return state, True
        state, done, step = start, 0.0, 0.1
        for _ in range(CONTINUATION_STEPS):
            target = min(done + step, 1.0)
            trial, ok = attempt(flow(target), state, max(tol, ON_THE_WAY), max_nodes)
            if not ok:
                step *= 0.5
                continue
            if target == 1.0:
                return attempt(flow(1.0), trial, tol, max_nodes)
            state, done, step = trial, target, 2.0 * step
    return state, False


def solve(problem: Problem, tol: float = 1e-10, max_nodes: int = 20000) -> tuple[Array, bool]:
    """Permeate concentrations (mol/m3, NaN where the feed has none) and whether ``solve_bvp`` reached ``tol``."""
    present = problem.without_absent()
    state, ok = trace(present, tol, max_nodes)
    size = present.charge.size
    return problem.restored(np.exp(state.p[:size]) * present.total if ok else np.full(size, np.nan)), ok
