"""A current-voltage curve at rest by SciPy's adaptive collocation, each voltage started from the one before."""

import numpy as np
from scipy.integrate import solve_bvp


def curve(
    eps: float, volts: np.ndarray, enrichment: float = 2.0, ratio: float = 1.0, tolerance: float = 1e-4
) -> np.ndarray:
    """Scaled currents before a stirred bulk, ``ratio`` = D+/D-; NaN from the first voltage that fails.

    The equations themselves: ``J_-`` is zero, ``J_+`` an unknown number.
    """
    d = 0.5 * (1.0 + ratio)  # of the cation over that of the salt
    y = np.concatenate([[0.0], np.geomspace(1e-6, 1.0, 300)])
    near = np.exp(-y / eps)
    jump = np.log(enrichment)
    state = np.stack([1.0 + (enrichment - 1.0) * near, np.ones_like(y), jump * (1.0 - near), jump / eps * near])
    number, found = np.zeros(1), np.full(len(volts), np.nan)
    for k, v in enumerate(volts):

        def slope(_, s, p):
            return np.stack([p[0] / d - s[0] * s[3], s[1] * s[3], s[3], -(s[0] - s[1]) / (2.0 * eps**2)])

        def ends(low, high, _, v=v):
            return np.array([low[0] - enrichment, low[2], high[0] - 1.0, high[1] - 1.0, high[2] - v])

        solution = solve_bvp(slope, ends, y, state, p=number, tol=tolerance, max_nodes=100_000)
        if not solution.success:
            break
        y, state, number = solution.x, solution.y, solution.p
        found[k] = number[0]
    return found
