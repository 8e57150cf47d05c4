"""``jm.sensitivity`` is the slope, for every quantity of the case."""

import jax.numpy as jnp
import numpy as np
import pytest

import jaxmem as jm
from jaxmem.units import LMH

CASE = jm.Case(
    jm.feed("mix4"),
    jm.membrane("NF270"),
    jm.FluxDriven(jnp.asarray([10.0, 40.0]) * LMH, jm.film("D^(2/3)", 4e-5)),
)


def magnesium(result: jm.models.result.PointResult) -> jnp.ndarray:
    return result.observed_rejection[..., 1]


@pytest.fixture(scope="module")
def found() -> jm.Sensitivity:
    return jm.sensitivity(jm.DSPMDE(), CASE, magnesium)


@pytest.mark.parametrize("name", ["pore_radius", "charge_density", "temperature", "coefficient", "volume_flux"])
def test_slope(found: jm.Sensitivity, name: str) -> None:
    i = found.names.index(name)
    value, h = float(found.value[i][1]), 2e-4

    def at(factor: float) -> np.ndarray:
        return np.asarray(magnesium(jm.solve(jm.DSPMDE(), CASE.replace(**{name: jnp.full(2, value * factor)}))))[1]

    slope = (at(1 - 2 * h) - 8 * at(1 - h) + 8 * at(1 + h) - at(1 + 2 * h)) / (12 * h * value)
    assert float(found.derivative[i][1]) == pytest.approx(slope, rel=1e-6)


def test_composition_at_fixed_proportions(found: jm.Sensitivity) -> None:
    i, h, c = found.names.index("concentration"), 2e-4, CASE.feed.concentration
    up, down = (magnesium(jm.solve(jm.DSPMDE(), CASE.replace(concentration=c * f))) for f in (1 + h, 1 - h))
    assert np.allclose(found.effect[i], (up - down) / (2 * h), rtol=1e-6)


def test_reads(found: jm.Sensitivity) -> None:
    names = [name for name, _ in found.ranking()]
    assert len(set(names)) == len(names) == len(found.units)
    assert not any("charge " in name for name in names)
    assert names[0] in str(found)
    axes = found.plot()
    assert len(axes.patches) == 10
    axes.figure.clear()


def test_one_number_for_each_lane() -> None:
    with pytest.raises(jm.ShapeError, match=r"shape \(2, 4\).*One number"):
        jm.sensitivity(jm.DSPMDE(), CASE, lambda r: r.observed_rejection)


@pytest.mark.campaign
def test_permeances_keep_their_names() -> None:
    """A permeance membrane has an order of its own, and may know more ions than the feed."""
    feed = jm.Mixture.from_concentration({"Na+": 20.0, "Cl-": 20.0})
    membrane = jm.PermeanceMembrane.of({"Cl-": 4.6e-6, "Mg+2": 1e-7, "Na+": 7.5e-4})
    found = jm.sensitivity(
        jm.SDEM(), jm.Case(feed, membrane, jm.FluxDriven(1e-5)), lambda r: r.observed_rejection[..., 0]
    )
    values = {n: float(v) for n, v in zip(found.names, found.value, strict=True) if n.startswith("permeance")}
    assert values == {"permeance Cl-": 4.6e-6, "permeance Mg+2": 1e-7, "permeance Na+": 7.5e-4}
    slopes = dict(zip(found.names, np.asarray(found.derivative), strict=True))
    assert slopes["permeance Mg+2"] == 0.0
    assert slopes["permeance Cl-"] < 0.0  # the slow ion decides, and a faster one rejects less
