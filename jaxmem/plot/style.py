"""Colours, labels and the two styles; matplotlib is imported when a plot is asked for."""

from typing import Any

from .._errors import JaxmemError, unknown

# Okabe and Ito, colour-blind safe; one colour per ion wherever it appears
COLOURS = {
    "Na+": "#0072B2", "Cl-": "#D55E00", "Mg+2": "#009E73", "SO4-2": "#CC79A7", "Ca+2": "#E69F00", "K+": "#56B4E9",
    "NO3-": "#8C564B", "HCO3-": "#7F7F7F", "Li+": "#000000", "NH4+": "#17BECF", "glucose": "#B8A000",
}  # fmt: skip
SPARE = ("#332288", "#88CCEE", "#44AA99", "#117733", "#999933", "#DDCC77", "#CC6677", "#882255", "#AA4499")
STYLES: dict[str, dict[str, Any]] = {
    "screen": {"figure.figsize": (7.0, 4.4), "font.size": 11, "figure.dpi": 110, "savefig.dpi": 150},
    "paper": {
        "figure.figsize": (3.5, 2.6),
        "font.size": 8,
        "figure.dpi": 150,
        "savefig.dpi": 400,
        "lines.linewidth": 1.1,
    },
}
COMMON: dict[str, Any] = {
    "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.25, "legend.frameon": False,
    "svg.fonttype": "none", "pdf.fonttype": 42,
}  # fmt: skip


def pyplot() -> Any:
    """matplotlib.pyplot, or the line to type."""
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise JaxmemError("matplotlib is not installed. Type: pip install 'jaxmem[plot]'") from error
    return plt


def new_axes(style: str = "screen") -> Any:
    """One pair of axes in a style: ``screen`` or ``paper``."""
    if style not in STYLES:
        raise unknown("Plot style", style, STYLES, 'Write style="screen".')
    plt = pyplot()
    with plt.rc_context({**COMMON, **STYLES[style]}):
        _, axes = plt.subplots(layout="constrained")
    return axes


def colour(name: str, index: int = 0) -> str:
    """Of an ion, the same in every figure."""
    return COLOURS.get(name, SPARE[index % len(SPARE)])


def spread(values: list[float], gap: float) -> list[float]:
    """Positions for labels at the ends of curves, moved apart so that none overlaps another."""
    order = sorted(range(len(values)), key=lambda i: values[i])
    placed = [values[i] for i in order]
    for _ in range(100):
        for a, b in zip(range(len(placed) - 1), range(1, len(placed)), strict=True):
            overlap = gap - (placed[b] - placed[a])
            if overlap > 0:
                placed[a] -= overlap / 2
                placed[b] += overlap / 2
    result = [0.0] * len(values)
    for position, i in zip(placed, order, strict=True):
        result[i] = position
    return result
