"""What a hostile reading of the layers found: each line here was a wrong number that called itself solved."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmem as jm
from jaxmem import fem
from jaxmem.units import LMH, LMH_per_bar, bar

SEA = jm.Mixture.from_concentration({"Na+": 547.57, "Cl-": 547.57})
PERMEANCE = 1.5 * LMH_per_bar


@pytest.mark.parametrize("time", [0.2, 1.0, 20.0, 100.0])
def test_diffusion_into_a_layer_whatever_the_step(time):
    """The Fourier series of a layer that starts empty: Crank-Nicolson does not ring after the jump at the inlet."""
    length, d = 50e-6, 1.5e-9
    r = jm.solve(jm.ADM(), jm.Case(SEA, None, jm.Layer(length, 0.0, d, fem.Dirichlet(0.0), time=time)))
    x, n = np.asarray(r.position) / length, np.arange(1, 400)[:, None]
    decay = np.exp(-((n * np.pi) ** 2) * d * time / length**2)
    exact = 1.0 - x - np.sum(2.0 / (n * np.pi) * np.sin(n * np.pi * x) * decay, axis=0)
    np.testing.assert_allclose(np.asarray(r.concentration) / 547.57, exact, atol=2e-3)
    assert not r.warnings()
    # what still changes: the series once differentiated, times L^2/(D C_0)
    pace = np.abs(np.sum(2.0 * n * np.pi * np.sin(n * np.pi * x) * decay, axis=0)).max()
    np.testing.assert_allclose(r.unsteadiness, pace, rtol=0.05, atol=1e-6)
    assert float(r.time) == time
    assert f"after {time:.4g} s" in str(r)


def test_a_law_that_makes_the_diffusivity_negative():
    """One lane of two; the other stays what it is alone. And what is drawn of a layer."""
    law = jm.FirstOrderDiffusivity(1e-3)  # negative beyond 1000 mol/m3
    feeds = jm.Mixture.from_concentration({"Na+": jnp.array([1200.0, 100.0]), "Cl-": jnp.array([1200.0, 100.0])})
    model = jm.ADM(elements=50, diffusivity=law)
    layer = jm.Layer(50e-6, 1e-5, 1.5e-9, fem.Dirichlet(0.0))
    r = jm.solve(model, jm.Case(feeds, None, layer), throw=False)
    assert r.ok.tolist() == [False, True]
    assert any("diffusivity is zero or negative" in text for text in r.messages())
    alone = jm.solve(model, jm.Case(feeds, None, layer)[1])
    np.testing.assert_allclose(r.concentration[1], alone.concentration, rtol=1e-12)
    assert float(alone.unsteadiness) == 0.0
    drawn = r.plot.profile().get_lines()
    assert [np.isnan(line.get_ydata()).all() for line in drawn] == [True, False]
    slit = jm.solve(jm.SlitRO(elements=24, steps=20), jm.Case(SEA, jm.SolutionDiffusionMembrane(PERMEANCE, 7e-8), jm.SlitPressure(55 * bar, 0.1, 5e-4, 0.1)))  # fmt: skip
    np.testing.assert_allclose(slit.plot.profiles()[1].get_lines()[1].get_ydata(), slit.wall_concentration, rtol=1e-12)


@pytest.mark.campaign
def test_a_moving_front_with_and_without_supg():
    """Ogata and Banks at a cell Peclet number of 0.6: SUPG weighs the time derivative too."""
    from scipy.special import erfc, erfcx

    v, d, time = 1e-3, 1e-6, 400.0
    for supg in (True, False):
        errors = []
        for n in (800, 1600):
            layer = jm.Layer(1.0, v, d, fem.Gradient(0.0), time=time)
            r = jm.solve(jm.ADM(elements=n, supg=supg, steps=2 * n), jm.Case(SEA, None, layer))
            x, wide = np.asarray(r.position), 2.0 * np.sqrt(d * time)
            second = np.exp(v * x / d - ((x + v * time) / wide) ** 2) * erfcx((x + v * time) / wide)
            exact = 0.5 * (erfc((x - v * time) / wide) + second)
            errors.append(np.abs(np.asarray(r.concentration) / 547.57 - exact).max())
        assert errors[1] < 1.1e-3
        assert errors[0] > 3.0 * errors[1]


@pytest.mark.campaign
def test_reflection_counts_in_layer_slit_and_point():
    membrane = jm.SolutionDiffusionMembrane(PERMEANCE, 7e-8, reflection=0.8)
    layer = jm.solve(jm.ADMSDM(), jm.Case(SEA, membrane, jm.PressedLayer(55 * bar, 50e-6, 1.5e-9)))
    point = jm.solve(jm.SolutionDiffusion(), jm.Case(SEA, membrane, jm.PressureDriven(55 * bar, jm.film("same", 3e-5))))
    np.testing.assert_allclose(layer.volume_flux, point.volume_flux, rtol=1e-10)
    np.testing.assert_allclose(layer.observed_rejection, point.observed_rejection[0], rtol=1e-9)
    pressed = jm.SlitPressure(55 * bar, 0.1, 5e-4, 0.1)
    leaky, tight = (
        jm.solve(jm.SlitRO(elements=80, ratio=0.925, steps=60), jm.Case(SEA, jm.SolutionDiffusionMembrane(PERMEANCE, 7e-8, reflection=s), pressed))
        for s in (0.8, 1.0)
    )  # fmt: skip
    assert leaky.mean_flux > 1.2 * tight.mean_flux
    assert leaky.permeate_concentration > 3.0
    assert abs(float(leaky.salt_closure)) < 1e-10


@pytest.mark.campaign
def test_below_the_osmotic_pressure_one_lane_says_so():
    membrane = jm.SolutionDiffusionMembrane(PERMEANCE, jnp.array([0.0, 7e-8]))
    pressure = jnp.array([10.0, 55.0]) * bar
    coarse = jm.SlitRO(elements=80, ratio=0.925, steps=60)
    slit = jm.solve(coarse, jm.Case(SEA, membrane, jm.SlitPressure(pressure, 0.1, 5e-4, 0.1)), throw=False)
    layer = jm.solve(jm.ADMSDM(), jm.Case(SEA, membrane, jm.PressedLayer(pressure, 50e-6, 1.5e-9)), throw=False)
    for result in (slit, layer):
        assert result.ok.tolist() == [False, True]
        assert any("osmotic" in text for text in result.messages())
    alone = jm.solve(coarse, jm.Case(SEA, jm.SolutionDiffusionMembrane(PERMEANCE, 7e-8), jm.SlitPressure(55 * bar, 0.1, 5e-4, 0.1)))  # fmt: skip
    np.testing.assert_allclose(slit.mean_flux[1], alone.mean_flux, rtol=1e-10)


def test_a_slit_says_what_it_cannot_resolve():
    closed, coarse = jm.SolutionDiffusionMembrane(PERMEANCE, 0.0), jm.SlitRO(elements=80, ratio=0.925, steps=60)
    thin = jm.SlitFlux(1e-4, velocity=0.1, half_height=5e-4, length=0.1, diffusivity=1e-12)
    fast = jm.SlitFlux(1e-2, velocity=10.0, half_height=1e-3, length=0.01, diffusivity=1e-7)
    for conditions, word in ((thin, "thinner than the cells"), (fast, "wall Reynolds")):
        r = jm.solve(coarse, jm.Case(SEA, closed, conditions), throw=False)
        assert not r.ok
        assert any(word in text for text in r.messages())


def test_pure_water_passes():
    water = jm.Mixture.from_concentration({"Na+": 0.0, "Cl-": 0.0})
    membrane = jm.SolutionDiffusionMembrane(PERMEANCE, 7e-8)
    r = jm.solve(jm.ADMSDM(), jm.Case(water, membrane, jm.PressedLayer(55 * bar, 50e-6, 1.5e-9)))
    np.testing.assert_allclose(r.volume_flux, 55 * 1.5 * LMH, rtol=1e-10)


@pytest.mark.campaign
def test_marches_conserve_what_two_phases_hold():
    """A closed box of two phases with K = 1 and 0.1: the salt stays, and settles as K says."""
    regions = {"a": (slice(0, 10), slice(None)), "b": (slice(10, 20), slice(None))}
    mesh = fem.rectangle(np.linspace(0.0, 2.0, 21), np.linspace(0.0, 1.0, 2), "quadrilateral", regions)
    space = fem.Space(mesh)
    k = space.by_region({"a": 1.0, "b": 0.1})
    form = fem.AdvectionDiffusion((0.0, 0.0), 1.0, partition=k)
    problem = fem.Problem(space, form, {s: fem.Natural() for s in mesh.topology.facets})
    u = jnp.where(space.coordinates[:, 0] < 0.5, 1.0, 0.0)
    held = lambda u: float(space.integral(u, lambda p: k * p.value))
    before = held(u)
    step = jax.jit(lambda u: fem.theta_step(problem, u, 50.0, 1.0, linear=True)[0])
    for _ in range(4):
        u = step(u)
    np.testing.assert_allclose(held(u), before, rtol=1e-10)
    np.testing.assert_allclose(u, before / 1.1, rtol=1e-4)


def test_two_dirichlet_sides_at_a_corner():
    """The order in which they are written changes nothing."""
    space = fem.Space(fem.rectangle(np.linspace(0.0, 1.0, 4), np.linspace(0.0, 1.0, 4)))
    closed = {"right": fem.Natural(), "bottom": fem.Natural()}
    form, both = fem.AdvectionDiffusion((0.0, 0.0), 1.0), {"top": fem.Dirichlet(1.0), "left": fem.Dirichlet(2.0)}
    one = fem.Problem(space, form, {**both, **closed})
    other = fem.Problem(space, form, {**dict(reversed(both.items())), **closed})
    u = one.solve(linear=True)
    np.testing.assert_allclose(one.residual(u), 0.0, atol=1e-13)
    np.testing.assert_allclose(other.solve(linear=True), u, rtol=1e-13)


SPACE = fem.Space(fem.rectangle(np.linspace(0.0, 1.0, 4), np.linspace(0.0, 1.0, 3)))
PLAIN = fem.AdvectionDiffusion((1.0, 0.0), 0.1)
OPEN = {s: fem.Natural() for s in ("left", "right", "bottom", "top")}
ONE = fem.Problem(SPACE, PLAIN, {**OPEN, "left": fem.Dirichlet(1.0)})
REFUSED = {
    "number as a condition": (lambda: fem.Problem(SPACE, PLAIN, {**OPEN, "left": 0.0}), "fem.Natural"),
    "conditions without names": (lambda: fem.Problem(SPACE, PLAIN, [fem.Natural()]), "name the boundaries"),
    "velocity of one number": (lambda: fem.Problem(SPACE, fem.AdvectionDiffusion((1.0,), 0.1), OPEN), "velocity has shape"),
    "velocity of three": (lambda: fem.Problem(SPACE, fem.AdvectionDiffusion((1.0, 0.0, 0.0), 0.1), OPEN), "velocity has shape"),
    "negative diffusivity": (lambda: fem.Problem(SPACE, fem.AdvectionDiffusion((1.0, 0.0), -0.1), OPEN), "not positive"),
    "partition of zero": (lambda: fem.Problem(SPACE, fem.AdvectionDiffusion((1.0, 0.0), partition=0.0), OPEN), "not positive"),
    "text as a velocity": (lambda: fem.Problem(SPACE, fem.AdvectionDiffusion("x", 0.1), OPEN), "not a number"),
    "values of the wrong count": (lambda: fem.Problem(SPACE, PLAIN, {**OPEN, "left": fem.Dirichlet(jnp.ones(7))}), "shape"),
    "a value that is none": (lambda: fem.Problem(SPACE, PLAIN, {**OPEN, "left": fem.Dirichlet(jnp.array([np.nan, 1.0, 1.0]))}), "not a number"),
    "start of the wrong size": (lambda: ONE.solve(jnp.ones(3)), "unknowns"),
    "no time": (lambda: fem.theta_step(ONE, jnp.ones(12), 0.0, 1.0), "step"),
    "times that fall": (lambda: fem.evolve(ONE, jnp.ones(12), jnp.array([1.0, 0.0])), "increase"),
    "lumped degree two": (lambda: fem.evolve(fem.Problem(fem.Space(SPACE.mesh, 2), PLAIN, OPEN), jnp.ones(35), jnp.array([0.0, 1.0])), "degree=1"),
    "idle point": (lambda: fem.unstructured(np.eye(5, 2), np.array([[2, 0, 1]]), {}), "no cell"),
    "layer with the printed sign": (
        lambda: jm.solve(jm.ADMSDM(jm.ADM(elements=50, sign="eq23")), jm.Case(SEA, jm.SolutionDiffusionMembrane(1e-12, 1e-8), jm.PressedLayer(1e6, 1e-5, 1e-9))),
        "Eq. 23",
    ),
    "grading that stops short": (lambda: jm.ADM(elements=2, grading=(0.0, 0.5, 0.9)), "0 to 1"),
    "negative factors": (lambda: jm.ADM(elements=2, element_diffusivity=-jnp.ones(2)), "not positive"),
    "no steps": (lambda: jm.ADM(steps=0), "integer"),
    "slit without elements": (lambda: jm.SlitRO(elements=1), "elements=160"),
    "pump of one number": (lambda: jm.FeedPressure(60 * bar, 1e-3, pump=0.8), "jm.Pump"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    make, word = REFUSED[name]
    with pytest.raises(jm.JaxmemError, match=word):
        make()


def test_singular_problems_are_not_solved():
    with pytest.raises(jm.ConvergenceError, match="holds the level"):
        fem.Problem(fem.Space(fem.line(0.0, 1.0, 8)), fem.AdvectionDiffusion((0.0,), 1.0), {"left": fem.Gradient(1.0), "right": fem.Natural()}).solve(linear=True)  # fmt: skip


def test_amplification_sees_the_factors_of_elements():
    """A layer whose own diffusivity is small enough to lose the outlet condition is refused, however it is said."""
    layer = jm.Layer(50e-6, 1e-5, 1.5e-9, fem.TotalFlux(0.0))
    with pytest.raises(jm.IllPosedBoundaryError):
        jm.solve(jm.ADM(element_diffusivity=jnp.full(200, 1 / 300)), jm.Case(SEA, None, layer))
