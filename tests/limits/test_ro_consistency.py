"""The same operating point gets the same answer whatever is asked, and numbers stay numbers at the edges of the physics."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import brentq

import jaxmem as jm
from jaxmem import fem
from jaxmem._status import code
from jaxmem.units import LMH_per_bar, bar, m3_per_h, um

SEA = jm.Mixture.from_concentration({"Na+": 547.57, "Cl-": 547.57})
PURE = jm.Mixture.from_concentration({"Na+": 0.0, "Cl-": 0.0})
MEMBRANE = jm.SolutionDiffusionMembrane(1.5 * LMH_per_bar, 7e-8)
VESSEL = jm.Vessel(jm.element("SW30HRLE-400"), 6)


def ask(model, membrane, conditions, feed=SEA):
    return jm.solve(model, jm.Case(feed, membrane, conditions), throw=False)


@pytest.mark.campaign
def test_concentration_dependent_layers_near_their_limiting_flux():
    """``D = D0 exp(-a C)``: ``integral of D dC/(C - r) = J delta`` from the bulk to the wall, with the membrane's balances (r = J_s/J)."""
    d0, brine, cases = 1.5e-9, jm.NaClBrine(), ((1e-3, 200.0, 80.0), (4e-3, 50.0, 55.0))
    t = jnp.asarray(298.15)
    mass = float(SEA.mass_concentration.sum())
    osmotic = lambda c: float(brine.osmotic_pressure(jnp.asarray(c * mass / 547.57), t))
    for alpha, thickness, pressure in cases:

        def wall(flux: float, alpha=alpha, thickness=thickness) -> float:
            passed = 7e-8 / (flux + 7e-8)

            def short(c: float) -> float:
                r = passed * c
                return (
                    quad(lambda x: np.exp(-alpha * x) / (x - r), 547.57, c, epsabs=1e-13)[0]
                    - flux * thickness * um / d0
                )

            return brentq(short, 547.57 * (1.0 + 1e-9), 547.57 / passed * 0.999999, xtol=1e-9)

        def balance(flux: float, pressure=pressure, wall=wall) -> float:
            c = wall(flux)
            return flux / float(1.5 * LMH_per_bar) - pressure * bar + osmotic(c) - osmotic(c * 7e-8 / (flux + 7e-8))

        flux = brentq(balance, 0.2 / 3.6e6, 11.6 / 3.6e6 if alpha == 1e-3 else 4.5 / 3.6e6, xtol=1e-14)
        adm = jm.ADM(elements=400, diffusivity=jm.ExponentialDiffusivity(alpha))
        result = ask(jm.ADMSDM(adm=adm), MEMBRANE, jm.PressedLayer(pressure * bar, thickness * um, d0))
        assert bool(result.ok)
        np.testing.assert_allclose(result.volume_flux, flux, rtol=1e-4)
        assert "LMH" in str(result)
        assert set(result.to_xarray().data_vars) >= {"volume_flux", "concentration", "status"}


def test_below_the_osmotic_pressure_whichever_number_is_imposed():
    low = ask(jm.SpiralWound(), VESSEL, jm.FeedPressure(24 * bar, 3 * m3_per_h))
    same = ask(jm.SpiralWound(), VESSEL, jm.Recovery(float(low.recovery), 3 * m3_per_h))
    np.testing.assert_allclose(same.feed_pressure, 24 * bar, rtol=1e-6)
    assert int(low.status) == int(same.status) == code("below_osmotic_pressure")
    leaky = jm.SolutionDiffusionMembrane(4e-12, 1e-7, reflection=0.5)  # holds back half of it
    assert bool(ask(jm.SpiralWound(), jm.SpiralElement(leaky, 37.0, 1.0), jm.FeedPressure(23 * bar, 9 * m3_per_h)).ok)


def test_nothing_to_separate_and_nothing_that_passes():
    """Pure water, and a wall without flux: no NaN where a lane is solved."""
    slit = ask(jm.SlitRO(), MEMBRANE, jm.SlitPressure(10 * bar, 0.1, 5e-4, 0.1), PURE)
    assert bool(slit.ok)
    assert float(slit.salt_closure) == 0.0
    assert not bool(jnp.any(jnp.isnan(slit.sherwood)))
    closed = ask(jm.SlitRO(), MEMBRANE, jm.SlitFlux(0.0, 0.1, 5e-4, 0.1))
    assert bool(closed.ok)
    assert float(closed.permeate_concentration) == 0.0
    layer = ask(jm.ADMSDM(), MEMBRANE, jm.PressedLayer(10 * bar, 50 * um, 1.5e-9), PURE)
    assert bool(layer.ok)
    assert (float(layer.observed_rejection), float(layer.polarisation_modulus)) == (1.0, 1.0)


def test_what_is_doubtful_is_said():
    spacers = jm.Vessel(jm.element("SW30HRLE-400", mass_transfer=jm.SchockMiquel()), 6)
    other = ask(jm.SpiralWound(), spacers, jm.FeedPressure(55 * bar, 9 * m3_per_h))
    assert "A and B were fitted with other mass transfer or friction" in other.warnings()
    sulfate = jm.Mixture.from_concentration({"Mg+2": 100.0, "SO4-2": 100.0})
    few = ask(jm.SpiralWound(), VESSEL, jm.FeedPressure(40 * bar, 1 * m3_per_h), sulfate)
    assert any("below 3 m3/h" in text for text in few.warnings())
    assert any("counted as sea salt" in text for text in few.warnings())
    assert not any(
        "sea salt" in text
        for text in ask(
            jm.SpiralWound(), VESSEL, jm.FeedPressure(60 * bar, 9 * m3_per_h), jm.feed("seawater")
        ).warnings()
    )
    dense = ask(jm.SlitRO(), MEMBRANE, jm.SlitFlux(1.4e-4, 1.0, 5e-4, 0.1))
    assert list(dense.warnings()) == ["salt at the membrane beyond solubility (26 %)"]
    layer = ask(jm.ADM(), None, jm.Layer(2e-2, 0.01, 1e-5, outlet=fem.TotalFlux(1.0)))
    assert any("1000 times the inlet" in text for text in layer.warnings())


@pytest.mark.campaign
def test_a_sheet_bounds_the_permeability():
    """The smallest rejection that a maker guarantees gives the largest B; the law of temperature stays that of the element."""
    from jaxmem.membranes.solution_diffusion import NoTemperature

    mine = jm.SolutionDiffusionMembrane(1e-12, 1e-8, temperature=NoTemperature())
    sheet = jm.Sheet(28.4 / 86400, 0.9965, 0.08, 55 * bar, 32.0, minimum_rejection=0.994)
    fit = jm.fit_sheet(jm.SpiralElement(mine, 37.2, 0.96), sheet)
    b = float(fit.element.membrane.salt_permeability)
    assert fit.permeability_limit is not None
    np.testing.assert_allclose(fit.permeability_limit / b, (0.006 / 0.994) / (0.0035 / 0.9965), rtol=0.01)
    assert isinstance(fit.element.membrane.temperature, NoTemperature)
    assert fit.element.membrane.provenance.closures == fit.element.closures


HOT = jm.Mixture(SEA.species, SEA.concentration, 395.0)
SUGAR = jm.Mixture.from_concentration({"glucose": 100.0})


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: ask(jm.SlitRO(), MEMBRANE, jm.SlitPressure(80 * bar, 0.1, 5e-4, 0.1), HOT), "395 K"),
        (lambda: ask(jm.ADMSDM(), MEMBRANE, jm.PressedLayer(80 * bar, 50 * um, 1.5e-9), HOT), "395 K"),
        (lambda: ask(jm.SolutionDiffusion(), MEMBRANE, jm.PressureDriven(80 * bar), HOT), "395 K"),
        (
            lambda: ask(jm.SpiralWound(), VESSEL, jm.FeedPressure(55 * bar, 9 * m3_per_h), SUGAR),
            "glucose, which is no salt",
        ),
        (lambda: jm.Sheet(1e-4, [0.99, 0.998], 0.08), "Fit one sheet at a time"),
        (lambda: jm.fit_sheet(jm.element("SW30HRLE-400"), 5), "jm.Sheet("),
        (lambda: jm.element("SW30HRLE-400", aera=30.0), "Closest: area"),
        (lambda: jm.ReverseOsmosisTrain(vessel=jm.DSPMDE()), "jm.ReverseOsmosisTrain("),
        (lambda: jm.Train([jm.Stage(VESSEL)]), "jm.Train((jm.Stage("),
    ],
)
def test_refused(call, words, untyped):
    with pytest.raises(jm.JaxmemError, match=words.replace("(", r"\(")):
        call()


def test_a_level_that_nothing_holds_is_refused():
    ends = {"left": fem.Natural(), "right": fem.Natural()}
    problem = fem.Problem(fem.Space(fem.line(0.0, 1.0, 20)), fem.AdvectionDiffusion((1.0,), 0.1), ends)
    with pytest.raises(jm.ConvergenceError, match="any constant can be added"):
        problem.solve(linear=True)
