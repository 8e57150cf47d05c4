"""What lanes that fail say of themselves, and what they do to derivatives; inputs that are built inside of compiled programs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmem as jm

FEED = jm.Mixture.from_concentration({"Na+": 20.0, "Mg+2": 5.0, "Cl-": 30.0})
FILM = jm.film("D^(2/3)", 4e-5)
IDEAL = jm.DSPMDE(activity="ideal")
OUTPUTS = (
    "pressure", "osmotic_pressure_interface", "osmotic_pressure_permeate", "osmotic_difference", "ionic_strength", "thermal_voltage",
    "observed_rejection", "real_rejection", "volume_flux", "feed", "interface", "permeate", "solute_flux", "passage", "peclet", "donnan_feed",
)  # fmt: skip


def whole(values: list[jax.Array], ok: jax.Array | None = None) -> jax.Array:
    """All outputs (of lanes that are ``ok``) in one number, each over its size in the first lane."""
    total = jnp.zeros(())
    for i, x in enumerate(values):
        kept = x if ok is None else jnp.where(ok.reshape(-1, *(1,) * (x.ndim - 1)), x, 0.0)
        total = total + (1.0 + 0.1 * i) * jnp.sum(kept) / jnp.max(jnp.abs(jax.lax.stop_gradient(x[0])))
    return total


@pytest.mark.parametrize("bad", [0.2e-9, np.nan], ids=["solute too large", "not a number"])
def test_nothing_of_a_failed_lane_is_differentiated(bad: float) -> None:
    """Sums over the lanes that are solved, of every output: the slopes are those without the bad lane; and it has none itself."""

    def total(dx: jax.Array, warm: jax.Array, radius: jax.Array) -> jax.Array:
        feed = jm.Mixture(FEED.species, FEED.concentration, warm)
        case = jm.Case(feed, jm.PoreMembrane(radius, dx, -30.0, 41.0), jm.FluxDriven(1e-5, FILM))
        r = jm.solve(IDEAL, case, throw=False)
        return whole([getattr(r, name) for name in OUTPUTS], r.ok)

    inputs = jnp.asarray(1.3e-6), jnp.asarray(298.0)
    slopes = jax.jit(jax.grad(total, (0, 1, 2)))
    mixed = slopes(*inputs, jnp.array([0.47e-9, bad, 0.5e-9]))
    clean = slopes(*inputs, jnp.array([0.47e-9, 0.5e-9]))
    for a, b in zip(mixed[:2], clean[:2], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10)
    assert float(mixed[2][1]) == 0.0

    def raw(radius: jax.Array) -> jax.Array:  # without the mask
        case = jm.Case(FEED, jm.PoreMembrane(radius, 1.3e-6, -30.0, 41.0), jm.FluxDriven(1e-5, FILM))
        r = jm.solve(IDEAL, case, throw=False)
        return whole([getattr(r, name) for name in OUTPUTS])

    assert float(jax.grad(raw)(jnp.array([0.47e-9, bad, 0.5e-9]))[1]) == 0.0


@pytest.mark.parametrize(
    ("model", "membrane"),
    [
        (IDEAL, jm.membrane("NF270")),
        (jm.SpieglerKedem(), jm.SpieglerKedemMembrane(0.9, 1e-6, 1e-11)),
        (jm.SolutionDiffusion(), jm.SolutionDiffusionMembrane(4e-12, 2e-8)),
    ],
    ids=["DSPM-DE", "Spiegler-Kedem", "solution-diffusion"],
)
def test_a_failed_lane_shows_what_it_was_asked(model, membrane) -> None:
    film = jm.film("same", 4e-5)
    flux = jnp.array([1e-5, -2e-6, jnp.nan, 2e-5])
    r = jm.solve(model, jm.Case(FEED, membrane, jm.FluxDriven(flux, film)), throw=False)
    assert r.ok.tolist() == [True, False, False, True]
    np.testing.assert_array_equal(r.volume_flux, flux)
    np.testing.assert_array_equal(r.feed, np.broadcast_to(FEED.concentration, (4, 3)))
    assert np.isnan(r.pressure).tolist() == [False, True, True, False]
    pressure = jnp.array([4e6, -2e6, jnp.nan, 5e6])
    r = jm.solve(model, jm.Case(FEED, membrane, jm.PressureDriven(pressure, film)), throw=False)
    np.testing.assert_array_equal(r.pressure[1:3], pressure[1:3])


def test_curves_leave_failed_lanes_out() -> None:
    flux = jnp.array([1e-5, -2e-6, jnp.nan, 2e-5])
    r = jm.solve(IDEAL, jm.Case(FEED, jm.membrane("NF270"), jm.FluxDriven(flux)), throw=False)
    np.testing.assert_allclose(r.plot.rejection().get_xlim(), [36.0, 72.0], rtol=1e-12)


def test_inputs_are_built_inside_of_compiled_programs() -> None:
    """Some numbers traced, others not: the checks of those that are known read them without tracing."""
    case = jm.Case(FEED, jm.membrane("NF270"), jm.FluxDriven(1e-5))

    def rejection(warm: jax.Array) -> jax.Array:
        return jm.solve(IDEAL, case.replace(temperature=warm)).observed_rejection

    np.testing.assert_allclose(jax.jit(rejection)(300.0), rejection(300.0), rtol=1e-12)
    np.testing.assert_allclose(jax.jit(jax.jacfwd(rejection))(300.0), jax.jacfwd(rejection)(300.0), rtol=1e-10)
    salt = lambda warm: jm.Mixture.from_concentration({"Na+": 20.0, "Cl-": 0.0}, temperature=warm, balance="Cl-")
    np.testing.assert_array_equal(jax.jit(lambda t: salt(t).concentration)(300.0), [20.0, 20.0])
    pores = jax.jit(lambda r: jm.PoreMembrane.from_thickness(r, 1e-6, 0.1).thickness_over_porosity)
    np.testing.assert_allclose(pores(4e-10), 1e-5, rtol=1e-12)
    wall = jm.SpieglerKedemMembrane([0.9, 0.9, 0.9], 1e-6)
    kedem = lambda flux: jm.solve(jm.SpieglerKedem(), jm.Case(FEED, wall, jm.FluxDriven(flux))).observed_rejection
    np.testing.assert_allclose(jax.jit(kedem)(1e-5), kedem(1e-5), rtol=1e-12)
    which, amounts = jm.species("Na+", "Cl-"), jnp.array([20.0, 10.0])
    with pytest.raises(jm.ElectroneutralityError, match="net charge of 10"):
        jax.jit(lambda t: jm.Mixture(which, amounts, t).temperature)(300.0)


MISTAKES = {
    "closure by name": (lambda: jm.membrane("NF270", hindrance="bowen"), "hindrance = 'bowen' is no closure"),
    "closure as a class": (lambda: jm.membrane("NF270", hindrance=jm.Bowen), r"such as hindrance=jm\.DechadilokDeen\(\)"),
    "charge as a number": (lambda: jm.membrane("NF270", charge=-30.0), r"write charge_density=-30\.0"),
    "name in a list": (lambda: jm.membrane(["NF270"]), "Closest: NF270"),
    "feed in a list": (lambda: jm.feed(["seawater"]), "Closest: seawater"),
    "refine in words": (lambda: jm.DSPMDE(refine="yes"), "refine = 'yes' is neither yes nor no"),
    "pressure diffusion in words": (lambda: jm.DSPMDE(pressure_diffusion="no"), r"pressure_diffusion=False"),
    "half precision": (lambda: jm.DSPMDE(precision="float16"), "float16"),
    "an ion twice": (lambda: jm.Mixture.from_concentration({"Na+": 20.0, "Na": 1.0, "Cl-": 21.0}), "already has"),
    "a charge for each ion": (
        lambda: jm.solve(IDEAL, jm.Case(FEED, jm.membrane("NF270", charge=lambda x, feed: -feed.concentration), jm.FluxDriven(jnp.ones((4, 2)) * 1e-5))),
        "one charge for each lane",
    ),
}  # fmt: skip


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes(name: str) -> None:
    make, words = MISTAKES[name]
    with pytest.raises(jm.JaxmemError, match=words):
        make()


def test_ranges_that_are_left_are_told() -> None:
    """The plain film beyond J_v/k of 1 and Bowen's fit beyond 0.8 of the pore: solved, and doubtful."""
    salt = jm.Mixture.from_concentration({"Na+": 20.0, "Cl-": 20.0})
    flux = jm.FluxDriven(jnp.array([1e-5, 8e-5]), FILM)
    r = jm.solve(jm.DSPMDE(film="plain"), jm.Case(salt, jm.membrane("NF270"), flux))
    assert [n for text, n in r.warnings().items() if "plain film" in text] == [1]
    assert "1 with J_v/k of 1 or more" in str(r)
    tight = jm.PoreMembrane(0.2e-9, 1e-6, hindrance=jm.Bowen())
    r = jm.solve(IDEAL, jm.Case(salt, tight, jm.FluxDriven(1e-5)))
    assert list(r.warnings()) == ["with solutes above 0.8 of the pore radius, beyond the fit of Bowen"]
    assert not jm.solve(IDEAL, jm.Case(salt, jm.membrane("NF270"), jm.FluxDriven(1e-5))).warnings()


SEA = jm.Mixture.from_concentration({"Na+": 500.0, "Cl-": 500.0})
WALL = jm.SolutionDiffusionMembrane(4e-12, 2e-8)
VESSEL = jm.Vessel(jm.SpiralElement(WALL, 37.0, 0.96), 2)
PRESSED = {  # a question by its pressure, and outputs that read the case beside the state
    "vessel": (
        lambda p: jm.solve(jm.SpiralWound(cells=1), jm.Case(SEA, VESSEL, jm.FeedPressure(p, 2e-3)), throw=False),
        ("recovery", "specific_energy", "feed_flow", "permeate_concentration", "feed_pressure", "mean_flux"),
    ),
    "layer": (
        lambda p: jm.solve(jm.ADMSDM(jm.ADM(elements=20)), jm.Case(SEA, WALL, jm.PressedLayer(p, 5e-5, 1.5e-9)), throw=False),
        ("volume_flux", "observed_rejection", "polarisation_modulus"),
    ),
    "slit": (
        lambda p: jm.solve(jm.SlitRO(elements=16, steps=12), jm.Case(SEA, WALL, jm.SlitPressure(p, 0.1, 5e-4, 0.1)), throw=False),
        ("mean_flux", "recovery", "permeate_concentration", "salt_closure"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PRESSED)
def test_nothing_of_a_failed_question_of_reverse_osmosis_is_differentiated(name: str) -> None:
    """One lane below the osmotic pressure, one without a number: derivatives zero, and their neighbours' as alone."""
    ask, outputs = PRESSED[name]
    total = lambda r: whole([getattr(r, output) for output in outputs])
    pressure = jnp.array([60e5, 10e5, jnp.nan, 63e5])
    assert ask(pressure).ok.tolist() == [True, False, False, True]
    slopes = jax.jit(jax.grad(lambda p: total(ask(p))))
    mixed = slopes(pressure)
    np.testing.assert_array_equal(mixed[1:3], 0.0)
    np.testing.assert_allclose(mixed[::3], slopes(pressure[::3]), rtol=1e-10)


def test_energy_of_a_failed_vessel_does_not_follow_its_pump() -> None:
    def energy(efficiency: jax.Array) -> jax.Array:
        feed = jm.FeedPressure(jnp.array([60e5, 10e5]), 2e-3, pump=jm.Pump(efficiency, 0.9))
        return jm.solve(jm.SpiralWound(cells=1), jm.Case(SEA, VESSEL, feed), throw=False).specific_energy.sum()

    slope = jax.grad(energy)(jnp.array([0.8, 0.8]))
    assert float(slope[0]) < 0.0
    assert float(slope[1]) == 0.0


def test_a_flux_that_nobody_imposed_is_not_shown() -> None:
    pressure = jnp.array([8e5, -5.0, jnp.nan])
    feed = jm.Mixture.from_concentration({"Na+": 20.0, "Cl-": 20.0})
    r = jm.solve(jm.DSPMDE(), jm.Case(feed, jm.membrane("NF270"), jm.PressureDriven(pressure)), throw=False)
    assert r.ok.tolist() == [True, False, False]
    np.testing.assert_array_equal(np.isnan(r.volume_flux), [False, True, True])
    np.testing.assert_array_equal(r.pressure[1:], pressure[1:])
    assert "no film" in str(r)


def test_cells_have_no_estimate() -> None:
    """One grid has nothing to be compared with: not a number, and said so, where round-off would look like an error."""
    feed = jm.feed("brackish8")
    r = jm.solve(
        jm.DSPMDE(cells=3), jm.Case(feed, jm.membrane("NF270"), jm.FluxDriven(60 / 3.6e6, jm.film("D^(2/3)", 4e-5)))
    )
    assert np.isnan(r.error_estimate).all()
    assert "error of the cells not estimated" in str(r)
    assert "nernst_planck film" in str(r)
