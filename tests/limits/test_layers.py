"""Layered pores: slices of one pore are that pore, a layer without effect is none, profiles join and stay neutral."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmem as jm
from jaxmem.units import LMH
from tests.helpers import IDEAL

FEED, WALL = jm.feed("mix4"), jm.membrane("NF270")
CONDITIONS = jm.FluxDriven(jnp.asarray([5.0, 20.0, 60.0]) * LMH, jm.film("D^(2/3)", 4e-5))
PROFILE = jnp.asarray([-20.0, -50.0, -80.0])


def ask(membrane: jm.PoreMembrane | jm.LayeredMembrane, model: jm.DSPMDE = IDEAL) -> jm.models.result.PointResult:
    return jm.solve(model, jm.Case(FEED, membrane, CONDITIONS), throw=False)


@pytest.mark.campaign
@pytest.mark.parametrize("activity", ["ideal", "davies"])
def test_slices_of_one_pore_are_that_pore(activity: str) -> None:
    model = jm.DSPMDE(activity=activity)
    whole, sliced = (ask(m, model) for m in (WALL, jm.LayeredMembrane.graded(WALL, charge_density=jnp.full(3, -50.0))))
    assert bool(sliced.ok.all())
    assert float(WALL.charge_density) == -50.0
    for name in ("permeate", "interface", "pressure", "pore_drop", "membrane_potential", "peclet", "pore_exit"):
        ours, theirs = np.asarray(getattr(sliced, name)), np.asarray(getattr(whole, name))
        assert np.allclose(ours, theirs, rtol=1e-10, atol=1e-15), name


@pytest.fixture(scope="module")
def graded() -> jm.models.result.PointResult:
    return ask(jm.LayeredMembrane.graded(WALL, charge_density=PROFILE))


def test_graded_pore_lies_between(graded: jm.models.result.PointResult) -> None:
    weak, strong = (
        np.asarray(ask(dataclasses.replace(WALL, charge_density=x)).observed_rejection) for x in (-20.0, -80.0)
    )
    low, high = np.minimum(weak, strong), np.maximum(weak, strong)
    r = np.asarray(graded.observed_rejection)
    assert bool(graded.ok.all())
    assert ((r > low) & (r < high)).all()


@pytest.mark.campaign
def test_profile_is_neutral_with_each_wall(graded: jm.models.result.PointResult) -> None:
    z, pore = np.asarray(FEED.species.charge), np.asarray(graded.profiles(16).pore)
    assert pore.shape == (3, 3 * 17, 4)
    walls = np.repeat(np.asarray(PROFILE), 17)
    assert np.abs((z * pore).sum(-1) + walls).max() < 1e-9 * np.abs(walls).max()
    assert np.allclose(pore[:, 0], graded.pore_entrance, rtol=5e-3)  # plain segments, no extrapolation
    assert np.allclose(pore[:, -1], graded.pore_exit, rtol=1e-10)
    assert float(graded.closure.max()) < 1e-12


def test_donnan_between_layers(graded: jm.models.result.PointResult) -> None:
    """Across an inner face of layers that differ in charge alone, ``c exp(z dpsi/V_T)`` is one for all ions."""
    p, z = graded.profiles(16), np.asarray(FEED.species.charge)
    jump = (np.asarray(p.potential)[:, 17] - np.asarray(p.potential)[:, 16]) / np.asarray(graded.thermal_voltage)
    ratio = np.asarray(p.pore)[:, 17] / np.asarray(p.pore)[:, 16]
    assert (np.abs(jump) > 0.1).all()
    assert np.allclose(ratio, np.exp(-z * jump[:, None]), rtol=1e-9)


@pytest.mark.campaign
def test_gradient_to_the_profile() -> None:
    def rejection(x: jax.Array) -> jax.Array:
        return ask(jm.LayeredMembrane.graded(WALL, charge_density=x)).observed_rejection[1, 1]

    slope, h = jax.grad(rejection)(PROFILE), 1e-2
    for i in range(3):
        step = jnp.zeros(3).at[i].set(h)
        difference = (rejection(PROFILE + step) - rejection(PROFILE - step)) / (2 * h)
        assert float(slope[i]) == pytest.approx(float(difference), rel=1e-6)


@pytest.mark.campaign
def test_support_and_pressure() -> None:
    """A wide support behind the skin: water resists in series, and a given pressure brings the flux back."""
    support = jm.PoreMembrane(5e-8, 5e-5, 0.0, 78.36)
    both = jm.LayeredMembrane((WALL, support))
    viscosity = FEED.water_viscosity
    parts = 1.0 / WALL.water_permeance(viscosity) + 1.0 / support.water_permeance(viscosity)
    assert float(both.water_permeance(viscosity)) == pytest.approx(float(1.0 / parts), rel=1e-14)
    given = ask(both)
    back = jm.solve(IDEAL, jm.Case(FEED, both, jm.PressureDriven(given.pressure, CONDITIONS.mass_transfer)))
    assert np.allclose(back.volume_flux, given.volume_flux, rtol=1e-7)
    assert np.allclose(back.permeate, given.permeate, rtol=1e-6)


@pytest.mark.usefixtures("untyped")
def test_mistakes(graded: jm.models.result.PointResult) -> None:
    with pytest.raises(jm.JaxmemError, match=r"Give a tuple of PoreMembrane: write jm\.LayeredMembrane"):
        jm.LayeredMembrane([WALL])
    with pytest.raises(jm.ShapeError, match="one length for all"):
        jm.LayeredMembrane.graded(WALL, charge_density=[-20.0, -50.0], pore_radius=[5e-10])
    with pytest.raises(jm.UnknownNameError, match=r"'charge' is not known.*charge_density"):
        jm.LayeredMembrane.graded(WALL, charge=[-20.0, -50.0])
    sources = [line for line in jm.citations(graded) if line.startswith("membrane")]
    assert [line.split(":")[0] for line in sources] == ["membrane NF270"]  # once for all layers
    case = jm.Case(FEED, jm.LayeredMembrane.graded(WALL, charge_density=PROFILE), CONDITIONS)
    with pytest.raises(jm.JaxmemError, match=r"stands in 3 places: membrane\.layers\.0\.pore_radius"):
        case.replace(pore_radius=4.5e-10)
    changed = case.replace(**{"membrane.layers.1.pore_radius": 4.5e-10})
    assert [float(x.pore_radius) for x in changed.membrane.layers] == [5e-10, 4.5e-10, 5e-10]
    blocked = case.replace(**{"membrane.layers.1.pore_radius": 2e-10})
    with pytest.raises(jm.PhysicalRangeError, match="must be smaller than the pore"):
        jm.solve(IDEAL, blocked)
