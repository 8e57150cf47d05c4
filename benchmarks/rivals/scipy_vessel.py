"""A vessel at a given feed pressure, one at a time: SciPy's ``solve_ivp`` along the channel, ``brentq`` at every position.

Written from the equations alone (NaCl properties of WaterTAP, Sh = 0.46 (Re Sc)^0.36, f = 6.23 Re^-0.3).
"""

import numpy as np
from scipy.integrate import solve_ivp
from scipy.optimize import brentq

GAS, ROOM = 8.31446261815324, 298.15


def osmotic(c: float) -> float:
    """Pa, from kg/m3."""
    w = (-995.0 + np.sqrt(995.0**2 + 4 * 756.0 * c)) / (2 * 756.0)
    return 2.0 * (0.918 + 0.0889 * w + 4.92 * w**2) * w / (1 - w) / 0.05844 * 1000.0 * GAS * ROOM


def recovery(
    a: float, b: float, area: float, count: int, pressure: float, flow: float, salt: float,
    length: float = 0.956, h: float = 0.711e-3, eps: float = 0.89, permeate: float = 101325.0, rtol: float = 1e-8,
) -> float:  # fmt: skip
    """Permeate volume over feed volume of ``count`` elements in series."""
    width = area / (2 * length)
    d_h = 4 * eps * h / (2 + 8 * (1 - eps))

    def rate(_: float, y: np.ndarray) -> list[float]:
        water, solute, p = y
        w = solute / (water + solute)
        density, viscosity = 995.0 + 756.0 * w, 9.80e-4 + 2.15e-3 * w
        d = 1.51e-9 - 2.00e-9 * w + 3.01e-8 * w**2 - 1.22e-7 * w**3 + 1.53e-7 * w**4
        v = (water + solute) / (density * h * width * eps)
        reynolds, schmidt = density * v * d_h / viscosity, viscosity / (density * d)
        k = 0.46 * (reynolds * schmidt) ** 0.36 * d / d_h
        bulk = density * w

        def behind(j: float) -> tuple[float, float]:
            e, kappa = np.exp(j / k), 1.0
            for _ in range(4):
                r = b * e * bulk / (j + b * kappa + b * (e - 1.0))
                wp = r / (r + 1000.0)
                kappa = (995.0 + 756.0 * wp) * wp / r
            return r, e * bulk - (e - 1.0) * r

        def imbalance(j: float) -> float:
            r, wall = behind(j)
            wp = r / (r + 1000.0)
            return j - a * (p - permeate - osmotic(wall) + osmotic((995.0 + 756.0 * wp) * wp))

        j = brentq(imbalance, 1e-12, a * (p - permeate), xtol=1e-16, rtol=1e-12)
        drop = -6.23 * reynolds**-0.3 * density * v * v / (2 * d_h) * length
        return [-area * 1000.0 * j, -area * j * behind(j)[0], drop]

    w = (-995.0 + np.sqrt(995.0**2 + 4 * 756.0 * salt)) / (2 * 756.0)
    density = 995.0 + 756.0 * w
    start = np.array([flow * density * (1 - w), flow * density * w, pressure])
    end = solve_ivp(rate, (0.0, float(count)), start, method="RK45", rtol=rtol, atol=1e-12).y[:, -1]
    water, solute = start[:2] - end[:2]
    passed = solute / (water + solute)
    return (water + solute) / (995.0 + 756.0 * passed) / flow
