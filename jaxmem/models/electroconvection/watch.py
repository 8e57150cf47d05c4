"""What a march says while it goes: a bar with the time it has simulated, voltage, current, and the part of a cell that its steps cross."""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import Array

from ..export import need


class Told(NamedTuple):
    """Of one sample; scaled."""

    time: Any  # its end, L^2/D
    voltage: Any  # RT/F
    current: Any  # mean over the sample, F D c0/L
    step: Any  # the next one, L^2/D
    courant: Any  # largest part of a cell that a step crossed
    alive: Any  # whether it goes on


class _Display:
    """One bar at a time: opened by the first sample of a march, closed by its last."""

    def __init__(self) -> None:
        self._stack: ExitStack | None = None
        self._bar: Any = None
        self._left = 0

    def __call__(self, told: Told, samples: int, duration: float) -> None:
        if self._stack is None:
            need("rich")
            from rich.console import Console

            from ...progress import bar

            self._stack, self._left = ExitStack(), samples
            self._bar = self._stack.enter_context(bar(Console(), samples))
        self._left -= 1
        numbers = Told(*(float(np.asarray(x)) for x in told))
        self._bar.say(
            f"t {numbers.time:.2g}/{duration:.2g}  V {numbers.voltage:.3g}  i {numbers.current:.3g}  CFL {numbers.courant:.2f}"
        )
        self._bar.step(failed=not numbers.alive)
        if self._left <= 0:
            self._stack.close()
            self._stack = None


_display = _Display()


def tell(report: Callable | bool | None, told: Told, samples: int, duration: Array) -> None:
    """Called while tracing: every sample reports to the user's ``report(told)``, or to a bar where that is ``True``."""
    if report is True:
        jax.debug.callback(
            lambda told, duration: _display(Told(*told), samples, float(duration)), tuple(told), duration
        )
    elif callable(report):
        jax.debug.callback(lambda told: report(Told(*told)), tuple(told))
