"""Profile likelihood: how much worse the best fit becomes when one number is held elsewhere."""

from typing import NamedTuple

import numpy as np

FAR = 9.0  # of an unbounded number: as good as on its bound


class Profile(NamedTuple):
    """Profile likelihood of one number: ``rise`` of twice the cost above its minimum, in units of the scatter, at every ``value``, SI."""

    label: str
    unit: str
    value: np.ndarray
    rise: np.ndarray
    limit: float  # the square of Student's t: the scatter is itself estimated from few measurements

    @property
    def below_the_fit(self) -> bool:
        """Whether some value fits much better than the fit did: that was no minimum."""
        return bool(np.nanmin(self.rise) < -0.1)

    @property
    def interval(self) -> tuple[float, float]:
        """Where the rise stays below ``limit``, 95 %; infinite on a side on which it does not get there within the values looked at."""
        best, ends = int(np.argmin(self.rise)), []
        for side in (slice(best, None, -1), slice(best, None)):
            x, y = self.value[side], self.rise[side]
            over = np.flatnonzero(~(y < self.limit))
            if not len(over):
                ends.append(-np.inf if side.step == -1 else np.inf)
                continue
            k = int(over[0])
            if k == 0 or not np.isfinite(y[k]):  # where nothing could be computed nothing is excluded
                ends.append(-np.inf if side.step == -1 else np.inf)
                continue
            share = (self.limit - y[k - 1]) / (y[k] - y[k - 1])
            ends.append(float(x[k - 1] + share * (x[k] - x[k - 1])))
        return ends[0], ends[1]

    def __str__(self) -> str:
        low, high = self.interval
        unit = "" if self.unit == "1" else f" {self.unit}"
        least, most = self.value.min(), self.value.max()
        if self.below_the_fit:
            at = float(self.value[int(np.nanargmin(self.rise))])
            return f"{self.label}: {at:.4g}{unit} fits better than the fit, which is no minimum. Fit again with more starts or steps: jm.fit(..., starts=32, steps=200)"
        if not np.isfinite([low, high]).any():
            return f"{self.label}: not determined, values from {least:.4g} to {most:.4g}{unit} cannot be told apart"
        below = f"{low:.4g}" if np.isfinite(low) else f"below {least:.4g}"
        above = f"{high:.4g}" if np.isfinite(high) else f"beyond {most:.4g}"
        return f"{self.label}: {below} to {above}{unit} (95 %, profile likelihood)"


def nearer(x: np.ndarray, rise: np.ndarray, limit: float, count: int) -> np.ndarray | None:
    """``count`` more values of the unbounded number, ascending, where the rise has yet to be seen to pass its limit: within a step in which it leaps, or further
    out; None where nothing is missing."""
    best, gaps = int(np.argmin(rise)), []
    for side in (slice(best, None, -1), slice(best, None)):
        at, y = x[side], rise[side]
        over = np.flatnonzero(~(y < limit))
        if len(over):
            k = int(over[0])
            if k > 0 and not y[k] - y[k - 1] < 0.5 * limit and abs(at[k] - at[k - 1]) > 1e-6:
                gaps.append((at[k - 1], at[k], False))
        elif abs(at[-1]) < FAR:
            gaps.append(
                (at[-1], float(np.clip(at[0] + 2.0 * (at[-1] - at[0]) + np.sign(at[-1] - at[0]), -FAR, FAR)), True)
            )
    if not gaps:
        return None
    sizes = [count // len(gaps)] * len(gaps)
    sizes[0] += count - sum(sizes)
    parts = [
        a + (b - a) * np.arange(1, n + 1) / (n if last else n + 1) for (a, b, last), n in zip(gaps, sizes, strict=True)
    ]
    return np.sort(np.concatenate(parts))
