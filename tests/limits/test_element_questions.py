"""Other questions to a vessel: the area that a recovery takes, permeate from both ends, pure water."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmem as jm
from jaxmem._status import code
from jaxmem.units import bar, m3_per_h

SEA = jm.Mixture.from_mass_concentration({"Na+": 12.6, "Cl-": 19.4}, balance="Cl-")
VESSEL = jm.Vessel(jm.element("SW30HRLE-400"), 3)
FLOW = 9 * m3_per_h


def test_the_area_of_a_recovery_gives_it_back():
    """Three lanes, of which the last is below the osmotic pressure."""
    pressure, recovery = jnp.array([60.0, 70.0, 20.0]) * bar, jnp.array([0.3, 0.4, 0.6])
    r = jm.solve(jm.SpiralWound(), jm.Case(SEA, VESSEL, jm.RequiredArea(recovery, pressure, FLOW)), throw=False)
    np.testing.assert_array_equal(r.ok, [True, True, False])
    assert int(r.status[2]) == code("below_osmotic_pressure")
    np.testing.assert_allclose(r.recovery[:2], recovery[:2], rtol=1e-9)
    element = jm.element("SW30HRLE-400", area=r.area[:2])
    back = jm.solve(jm.SpiralWound(), jm.Case(SEA, jm.Vessel(element, 3), jm.FeedPressure(pressure[:2], FLOW)))
    np.testing.assert_allclose(back.recovery, recovery[:2], rtol=1e-9)
    np.testing.assert_allclose(back.mean_flux, r.mean_flux[:2], rtol=1e-9)


@pytest.mark.campaign
def test_gradient_of_the_area():
    """To the pressure, against the implicit function of the recovery at given area."""

    def area(p: jax.Array) -> jax.Array:
        return jm.solve(jm.SpiralWound(), jm.Case(SEA, VESSEL, jm.RequiredArea(0.3, p, FLOW)), throw=False).area

    slope = jax.jit(jax.jacfwd(area))(60e5)
    f = jax.jit(area)
    np.testing.assert_allclose(slope, (f(60e5 + 50.0) - f(60e5 - 50.0)) / 100.0, rtol=1e-6)


def test_permeate_from_both_ends():
    r = jm.solve(jm.SpiralWound(), jm.Case(SEA, VESSEL, jm.FeedPressure(60 * bar, FLOW)))
    flow, salt, other, other_salt = r.permeate_split(1)
    assert float(salt) < float(r.permeate_concentration) < float(other_salt)
    np.testing.assert_allclose(flow * salt + other * other_salt, r.permeate_flow * r.permeate_concentration, rtol=1e-12)
    np.testing.assert_allclose(flow + other, r.permeate_flow, rtol=1e-5)
    with pytest.raises(jm.JaxmemError, match="1 to 2"):
        r.permeate_split(3)


def test_pure_water_is_rejected_whole():
    pure = jm.Mixture.from_concentration({"Na+": 0.0, "Cl-": 0.0})
    r = jm.solve(jm.SpiralWound(), jm.Case(pure, VESSEL, jm.FeedPressure(10 * bar, FLOW)))
    assert float(r.observed_rejection) == 1.0
    assert np.all(np.isfinite(np.asarray(r.permeate)))
