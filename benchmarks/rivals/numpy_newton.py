"""Plain NumPy: midpoint cells in the pore, Newton with a complex-step Jacobian, continuation in the flux.

The pore is marched from the permeate to the feed. In a cell of width h and field U (section Pore),

    c' - c = -h ((A - z U) (c + c')/2 - B c_p),      c' towards the feed, c towards the permeate,

with U such that c' is neutral against the wall. One cell is the discretisation of WaterTAP; at high Peclet
numbers it may have no positive solution (a passage reaches zero where ``1 + (A - z U) h/2`` does), which is returned as
a failure. Unknowns (2 S + 4):
``ln c_p``, ``ln c_m``, both Donnan potentials, the film field and the logarithm of the ionic strength at the pore exit.
"""

import numpy as np

from .problem import Array, Problem, column, donnan, film_law, imbalance, ln_gamma, peclet, strength

COMPLEX_STEP = 1e-30
LARGEST_STEP = 4.0


def cell_field(z: Array, half: Array, c: Array, source: Array, wall: float, field: float, h: float) -> float:
    """Field U that makes ``c'`` of one cell neutral: Newton inside the bracket where every ``1 + (A - z U) h/2 > 0``.

    The charge of ``c'`` rises with U from minus to plus infinity there, so that the root is unique.
    """
    mobile = z != 0.0
    poles = (1.0 + half[mobile]) / (0.5 * h * z[mobile])
    low, high = float(np.max(poles[poles < 0.0])), float(np.min(poles[poles > 0.0]))
    field = field if low < field < high else 0.5 * (low + high)
    for _ in range(100):
        below = 1.0 + half - 0.5 * h * z * field
        ahead = (2.0 * c + source) / below
        charge = float(z @ (ahead - c)) + wall
        low, high = (field, high) if charge < 0.0 else (low, field)
        step = -charge / float(z**2 @ (0.5 * h * ahead / below))
        if abs(step) < 1e-9 * (1.0 + abs(field)):
            return field + step
        field = field + step if low < field + step < high else 0.5 * (low + high)
    return field


def march(problem: Problem, flux: float, cells: int, c_exit: Array, c_p: Array) -> Array:
    """Concentrations at the pore entrance ``(S, n)`` from those at the exit; columns differ by complex steps only."""
    z, h, wall = problem.charge, 1.0 / cells, problem.wall_charge / problem.total
    convection, exchange = peclet(problem, flux)
    half, zc = 0.5 * h * convection, 0.5 * h * z[:, None]
    source, c = h * exchange[:, None] * c_p, c_exit
    first, source_first = np.real(c[:, 0]), np.real(source[:, 0])
    field = float(z @ (convection * first - source_first / h) / (z**2 @ first))
    for _ in range(cells):
        field = cell_field(z, half, np.real(c[:, 0]), source_first, wall, field, h)
        below = 1.0 + half[:, None] - zc * field
        ahead = (2.0 * c + source) / below
        step = -(z @ (ahead - c) + wall) / (z @ (zc * ahead / below))
        below = below - zc * step
        c = (c * (2.0 - below) + source) / below
    return c


def residual(problem: Problem, flux: float, cells: int, y: Array) -> Array:
    """Equations of the columns of ``y (2 S + 4, n)``: film, feed face, four scalars."""
    size, unit = problem.charge.size, problem.total
    c_p, c_m = np.exp(y[:size]), np.exp(y[size : 2 * size])
    psi_p, psi_f, zeta, log_exit = y[2 * size :]
    z, enter = column(problem.charge, c_p), column(np.log(problem.partition), c_p)

    def gamma(ionic: Array) -> Array:
        return ln_gamma(problem, ionic, c_p)

    c_exit = np.exp(y[:size] + gamma(strength(problem, c_p)) + enter - z * psi_p - gamma(np.exp(log_exit)))
    c_one = march(problem, flux, cells, c_exit, c_p)
    if not np.all(np.real(c_one) > 0.0):
        return np.full(y.shape, np.nan)
    inside = np.log(c_one) + gamma(strength(problem, c_one))
    outside = y[size : 2 * size] + gamma(strength(problem, c_m)) + enter - z * psi_f
    exit_neutral = imbalance(problem, c_exit, problem.wall_charge / unit)
    scalars = (exit_neutral, imbalance(problem, c_p), imbalance(problem, c_m))
    closing = log_exit - np.log(strength(problem, c_exit))
    return np.concatenate([film_law(problem, flux, c_m, c_p, zeta), inside - outside, np.stack([*scalars, closing])])


def newton(problem: Problem, flux: float, cells: int, y: Array, limit: int = 25) -> tuple[Array, bool]:
    """Newton with the step capped; one complex march gives the residual and all columns of the Jacobian."""
    seeds = 1j * COMPLEX_STEP * np.eye(y.size)
    for _ in range(limit):
        value = residual(problem, flux, cells, y[:, None] + seeds)
        if not np.all(np.isfinite(value)):
            return y, False
        try:
            step = np.linalg.solve(np.imag(value) / COMPLEX_STEP, -np.real(value[:, 0]))
        except np.linalg.LinAlgError:
            return y, False
        largest = float(np.max(np.abs(step)))
        y = y + step * min(1.0, LARGEST_STEP / max(largest, 1e-300))
        if largest < 1e-9:
            return y, bool(np.max(np.abs(np.real(value))) < 1e-7)
    return y, False


def zero_flux(problem: Problem) -> Array:
    """``c_p = c_m = c_b``, equal Donnan potentials, no film field."""
    psi, pore = donnan(problem)
    bulk = np.log(problem.concentration / problem.total)
    return np.concatenate([bulk, bulk, [psi, psi, 0.0, np.log(strength(problem, pore))]])


def solve(problem: Problem, cells: int = 30, guess: Array | None = None) -> tuple[Array, bool]:
    """Permeate concentrations (mol/m3, NaN where the feed has none) and whether the equations are solved.

    Starts from zero flux (or from ``guess``, unknowns of :func:`trace`) and raises the flux to ``J_v`` by
    fractions that double after a success and halve after a failure.
    """
    y, ok = trace(problem.without_absent(), cells, guess)
    count = int(problem.present.sum())
    return problem.restored(np.exp(y[:count]) * problem.total if ok else np.full(count, np.nan)), ok


def trace(problem: Problem, cells: int, guess: Array | None = None) -> tuple[Array, bool]:
    """All unknowns at ``J_v``; the first attempt is the whole flux at once."""
    with np.errstate(all="ignore"):
        if guess is not None:
            y, ok = newton(problem, problem.volume_flux, cells, guess)
            if ok:
                return y, True
        state, done, step = zero_flux(problem), 0.0, 1.0
        for _ in range(120):
            target = min(done + step, 1.0)
            y, ok = newton(problem, target * problem.volume_flux, cells, state)
            if not ok:
                step *= 0.25
                continue
            if target == 1.0:
                return y, True
            state, done, step = y, target, 2.0 * step
    return state, False
