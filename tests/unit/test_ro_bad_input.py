"""Reverse osmosis: every mistake is refused with the value, what is allowed and the line to type; bad lanes get a status."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmem as jm
from jaxmem._status import code
from jaxmem.units import bar, m3_per_h

SALT = 547.57
FEED = jm.Mixture.from_concentration({"Na+": SALT, "Cl-": SALT})
MEMBRANE = jm.SolutionDiffusionMembrane(4e-12, 2e-8)
PRESSURE = jm.FeedPressure(60 * bar, 9 * m3_per_h)
LAYER = {"length": 5e-5, "velocity": 1e-5, "diffusivity": 1.5e-9}


def ask(model=None, feed=FEED, membrane=None, conditions=PRESSURE):
    return jm.solve(model or jm.SpiralWound(), jm.Case(feed, membrane or jm.element("SW30HRLE-400"), conditions))


def element(**changes):
    return jm.SpiralElement(**{"membrane": MEMBRANE, "area": 37.0, "length": 0.956, **changes})


REFUSED = {
    "unknown element": (lambda: jm.element("SW30HR"), jm.UnknownNameError, ("'SW30HR'", "Closest", "jm.element(")),
    "area of nothing": (lambda: element(area=0.0), jm.PhysicalRangeError, ("area = 0", "as in area=37 (m2)")),
    "negative diffusivity": (
        lambda: jm.Layer(1e-4, 1e-5, -1e-9),
        jm.PhysicalRangeError,
        ("diffusivity = -1e-09", "diffusivity=1.5e-09"),
    ),
    "bar for pascal": (lambda: jm.FeedPressure(60.0, 1e-3), jm.PhysicalRangeError, ("60 * jm.units.bar",)),
    "recovery beyond one": (lambda: jm.Recovery(1.2, 1e-3), jm.PhysicalRangeError, ("1.2", "(1e-06, 0.99)")),
    "element without membrane": (
        lambda: ask(membrane=element(membrane=None)),
        jm.JaxmemError,
        ("no membrane", "jm.SpiralElement(", "jm.fit_sheet("),
    ),
    "closure that takes no flow": (
        lambda: element(mass_transfer=lambda: 2e-5),
        jm.JaxmemError,
        ("mass_transfer", "no closure", "jm.ConstantTransfer(2e-5)"),
    ),
    "closure that gives a number for a law": (
        lambda: element(mass_transfer=lambda flow: 2e-5),
        jm.JaxmemError,
        ("mass_transfer", "alpha and beta"),
    ),
    "friction that is a word": (
        lambda: element(friction=lambda flow: "much"),
        jm.JaxmemError,
        ("friction", "jm.SpiralFriction()"),
    ),
    "reaction of one argument": (
        lambda: jm.solve(jm.ADM(reaction=lambda c: -c), jm.Case(FEED, None, jm.Layer(**LAYER))),
        jm.JaxmemError,
        ("reaction cannot be called", "reaction=lambda c, x:"),
    ),
    "reaction of another shape": (
        lambda: jm.solve(jm.ADM(reaction=lambda c, x: jnp.ones(7)), jm.Case(FEED, None, jm.Layer(**LAYER))),
        jm.ShapeError,
        ("shape (7,) for 200", "reaction=lambda c, x:"),
    ),
    "three sides": (lambda: element(sides=3), jm.JaxmemError, ("sides = 3", "sides=2")),
    "no element in the vessel": (
        lambda: jm.Vessel(MEMBRANE, 6),
        jm.JaxmemError,
        ("SolutionDiffusionMembrane", "jm.Vessel("),
    ),
    "vessel of none": (lambda: jm.Vessel(element(), 0), jm.JaxmemError, ("count = 0", "jm.Vessel(element, 6)")),
    "vessel of True": (lambda: jm.Vessel(element(), True), jm.JaxmemError, ("count = True", "jm.Vessel(element, 6)")),
    "number for a closure": (
        lambda: element(friction=5.0),
        jm.JaxmemError,
        ("friction = 5.0", "jm.SpiralFriction()"),
    ),
    "class for a closure": (
        lambda: element(friction=jm.SpiralFriction),
        jm.JaxmemError,
        ("no closure", "jm.SpiralFriction()"),
    ),
    "membrane without element": (lambda: ask(membrane=MEMBRANE), jm.JaxmemError, ("needs an element or a vessel",)),
    "pore in an element": (
        lambda: ask(membrane=element(membrane=jm.membrane("NF270"))),
        jm.JaxmemError,
        ("PoreMembrane", "jm.SolutionDiffusionMembrane("),
    ),
    "flux of a point": (
        lambda: ask(conditions=jm.FluxDriven(1e-5)),
        jm.JaxmemError,
        ("FluxDriven", "jm.FeedPressure("),
    ),
    "hot feed": (
        lambda: ask(feed=jm.Mixture.from_concentration({"Na+": SALT, "Cl-": SALT}, temperature=363.0)),
        jm.PhysicalRangeError,
        ("363", "298.15"),
    ),
    "salt beyond osmotic law": (
        lambda: ask(feed=jm.Mixture.from_concentration({"Na+": 5e3, "Cl-": 5e3})),
        jm.PhysicalRangeError,
        ("250", "kg/m3"),
    ),
    "unknown scheme": (lambda: jm.SpiralWound(scheme="forward"), jm.JaxmemError, ("'forward'", "backward")),
    "below osmotic pressure": (
        lambda: ask(conditions=jm.FeedPressure(20 * bar, 9 * m3_per_h)),
        jm.ConvergenceError,
        ("below the osmotic pressure", "higher pressure"),
    ),
    "point with an element": (
        lambda: jm.solve(jm.SolutionDiffusion(), jm.Case(FEED, element(), jm.PressureDriven(55 * bar))),
        jm.JaxmemError,
        ("SpiralElement", "jm.SolutionDiffusionMembrane("),
    ),
    "inverted element": (
        lambda: jm.fem.line_through(jnp.array([0.0, 2.0, 1.0])),
        jm.JaxmemError,
        ("inverted", "jnp.sort"),
    ),
    "duplicate node": (
        lambda: jm.fem.line_through(jnp.array([0.0, 1.0, 1.0])),
        jm.JaxmemError,
        ("no size", "jnp.unique"),
    ),
    "no boundary condition": (lambda: jm.Layer(**LAYER, outlet=0.0), jm.JaxmemError, ("outlet = 0.0", "TotalFlux")),
    "wrong sign name": (lambda: jm.ADM(sign="minus"), jm.JaxmemError, ("'minus'", "sign='eq23'")),
    "grading that does not fit": (
        lambda: jm.ADM(elements=3, grading=(0.0, 1.0)),
        jm.JaxmemError,
        ("2 fractions", "geometric(3"),
    ),
    "layer without a layer": (
        lambda: jm.solve(jm.ADM(), jm.Case(FEED, None, PRESSURE)),
        jm.JaxmemError,
        ("jm.Layer(",),
    ),
    "round-off": (
        lambda: jm.solve(jm.ADM(sign="eq23"), jm.Case(FEED, None, jm.Layer(0.356, 0.01, 1e-5))),
        jm.IllPosedBoundaryError,
        ("exp(356)", "TotalFlux"),
    ),
    "sheet that cannot be met": (
        lambda: jm.fit_sheet(element(), jm.Sheet(1e-4, 0.99, 0.08, pressure=10 * bar)),
        jm.ConvergenceError,
        ("No A and B", "Check the units"),
    ),
}


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    make, kind, words = REFUSED[name]
    with pytest.raises(kind) as caught:
        make()
    for word in words:
        assert word in str(caught.value)


def test_bad_lanes_have_a_status_and_the_others_an_answer():
    pressure = jnp.array([60.0, 20.0, jnp.nan, 60.0]) * bar
    feed = jm.Mixture.from_concentration(
        {"Na+": jnp.array([SALT, SALT, SALT, 6e3]), "Cl-": jnp.array([SALT, SALT, SALT, 6e3])}
    )
    r = jm.solve(jm.SpiralWound(), jm.Case(feed, element(), jm.FeedPressure(pressure, 9 * m3_per_h)), throw=False)
    expected = ["successful", "below_osmotic_pressure", "outside_model", "outside_model"]
    np.testing.assert_array_equal(r.status, [code(name) for name in expected])
    alone = ask(membrane=element())
    np.testing.assert_allclose(r.recovery[0], alone.recovery, rtol=1e-12)
    frame = r.to_xarray()
    assert np.isfinite(frame["recovery"].values[0])
    assert np.isnan(frame["recovery"].values[1:]).all()


def test_doubtful_layers_say_so():
    coarse = jm.solve(jm.ADM(elements=10, supg=False, sign="eq23"), jm.Case(FEED, None, jm.Layer(1e-3, 1e-4, 1.5e-9, jm.fem.Dirichlet(0.0))))  # fmt: skip
    assert "cell Peclet" in str(coarse)
    assert "negative" in str(coarse)
    lanes = jm.Layer(0.356, jnp.array([1e-4, 1e-2]), 1e-5)
    r = jm.solve(jm.ADM(sign="eq23"), jm.Case(FEED, None, lanes), throw=False)
    np.testing.assert_array_equal(r.status, [code("successful"), code("ill_posed_boundary")])
    np.testing.assert_allclose(r.concentration[0], SALT, rtol=1e-9)


def test_a_film_that_cannot_be_steady_is_reported():
    """exp(-alpha c) D falls so fast that what is carried in cannot diffuse back."""
    model = jm.ADM(diffusivity=jm.ExponentialDiffusivity(2e-3))
    r = jm.solve(model, jm.Case(FEED, None, jm.Layer(1e-4, 1e-5, 1e-9, jm.fem.TotalFlux(1e-6))), throw=False)
    assert r.status == code("no_steady_state")


def test_limits_of_makers_are_named():
    r = ask(membrane=jm.Vessel(jm.element("SW30HRLE-400"), 6), conditions=jm.FeedPressure(90 * bar, 16 * m3_per_h))
    assert "feed pressure above 83 bar" in r.warnings()


@pytest.mark.campaign
def test_layers_that_fail_have_no_gradient():
    model = jm.ADM(elements=60, diffusivity=jm.ExponentialDiffusivity(2e-3))

    def wall(velocity):
        case = jm.Case(FEED, None, jm.Layer(1e-4, velocity, 1e-9, jm.fem.TotalFlux(1e-9)))
        r = jm.solve(model, case, throw=False)
        return jnp.sum(r.concentration[:, -1]), r.status

    slope, status = jax.grad(wall, has_aux=True)(jnp.array([1e-7, 1e-5]))
    np.testing.assert_array_equal(status, [code("successful"), code("no_steady_state")])
    assert slope[0] != 0.0
    assert slope[1] == 0.0


def test_a_transient_with_a_nonlinear_layer_is_checked_at_every_step():
    """The largest row left in any step is what "solved" is judged by: small, and not a constant zero."""
    layer = jm.Layer(1e-4, 0.0, 1e-9, jm.fem.Dirichlet(0.0), time=5.0)
    good = jm.solve(
        jm.ADM(elements=40, steps=40, diffusivity=jm.ExponentialDiffusivity(1e-3)), jm.Case(FEED, None, layer)
    )
    assert 0.0 < float(good.state.residual) < 1e-7


def test_a_permeate_pressed_against_the_feed_is_a_failed_lane_with_numbers():
    """Nothing flows: no recovery, no salt, no NaN, and a status that says why."""
    conditions = jm.FeedPressure(1.5 * bar, 8 * m3_per_h, permeate_pressure=5 * bar)
    result = jm.solve(jm.SpiralWound(), jm.Case(FEED, element(), conditions), throw=False)
    assert int(result.status) == code("below_osmotic_pressure")
    assert float(result.recovery) == 0.0
    assert float(result.permeate_concentration) == 0.0


def test_counts_of_numpy_are_counts():
    assert jm.Vessel(element(), np.int64(6)).count == 6
    assert type(jm.SpiralWound(cells=np.int32(3)).cells) is int


def test_closures_of_the_user_are_taken():
    """Plain functions of a flow: k = 2e-5 m/s and 1 bar per metre are what the closures of the package say."""
    from jaxmem.membranes.polarisation import film_law

    plain = element(mass_transfer=lambda flow: film_law(2e-5), friction=lambda flow: -0.956e5 / flow.length)
    named = element(mass_transfer=jm.ConstantTransfer(2e-5), friction=jm.ConstantDrop(0.956 * bar))
    np.testing.assert_allclose(ask(membrane=plain).recovery, ask(membrane=named).recovery, rtol=1e-12)


@pytest.mark.usefixtures("untyped")
def test_properties_take_plain_numbers():
    for brine in (jm.NaClBrine(), jm.SeaSaltBrine()):
        for name in ("density", "viscosity", "diffusivity", "mass_fraction", "osmotic_pressure"):
            ask_for, x = getattr(brine, name), 30.0 if name in ("mass_fraction", "osmotic_pressure") else 0.03
            np.testing.assert_allclose(ask_for(x, 298.15), ask_for(jnp.asarray(x), jnp.asarray(298.15)), rtol=1e-12)


def test_an_area_that_only_leaks_is_no_answer():
    """At 60 bar the recovery at which the concentrate holds against the pressure lies between 55 and 60 %."""
    vessel = jm.Vessel(jm.element("SW30HRLE-400"), 6)
    required = jm.RequiredArea(jnp.array([0.45, 0.55, 0.6, 0.7]), 60 * bar, 9 * m3_per_h)
    r = jm.solve(jm.SpiralWound(), jm.Case(FEED, vessel, required), throw=False)
    assert r.ok.tolist() == [True, True, False, False]
    np.testing.assert_array_equal(r.status[2:], code("recovery_out_of_reach"))
    drive = r.concentrate_pressure - 101325.0
    osmotic = r.brine.osmotic_pressure(r.concentrate_concentration, jnp.asarray(298.15))
    np.testing.assert_array_equal(drive[:2] > osmotic[:2], True)


def test_a_vessel_that_is_too_long_says_so():
    long = jm.Vessel(jm.element("SW30HRLE-400"), 20)
    text = "concentrate stronger than the pressure on it: the end passes by leak"
    assert text in ask(membrane=long).warnings()
    assert text not in ask(membrane=jm.Vessel(long.element, 6)).warnings()
    slow = jm.Case(FEED, MEMBRANE, jm.SlitPressure(55 * bar, jnp.array([0.1, 1e-4]), 5e-4, 0.1))
    assert jm.solve(jm.SlitRO(elements=40, steps=60), slow).warnings()[text] == 1
    cold = jm.Mixture.from_concentration({"Na+": SALT, "Cl-": SALT}, temperature=276.15)
    assert "feed colder than 5 degC" in ask(feed=cold).warnings()
    pressed = jm.Case(FEED, MEMBRANE, jm.PressedLayer(500 * bar, 1e-3, 1.5e-9))
    assert "beyond solubility" in str(jm.solve(jm.ADMSDM(), pressed))


def test_the_picture_of_a_batch_shows_its_lanes():
    r = ask(conditions=jm.FeedPressure(jnp.linspace(45.0, 70.0, 6) * bar, 9 * m3_per_h))
    axes = r.plot.picture()
    assert [t.get_text() for t in axes.get_legend().get_texts()] == [f"pressure {p} bar" for p in (45, 50, 55, 65, 70)]
    assert len(axes.get_lines()) == 5
