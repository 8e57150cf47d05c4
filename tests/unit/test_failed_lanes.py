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


@pytest.mark.parametrize("bad", [0.2e-9, np.nan], ids=["solute too large", "not a number"])
def test_nothing_of_a_failed_lane_is_differentiated(bad: float) -> None:
    """Sums over the lanes that are solved, of every output: the slopes are those without the bad lane; and it has none itself."""

    def total(dx: jax.Array, warm: jax.Array, radius: jax.Array) -> jax.Array:
        feed = jm.Mixture(FEED.species, FEED.concentration, warm)
        case = jm.Case(feed, jm.PoreMembrane(radius, dx, -30.0, 41.0), jm.FluxDriven(1e-5, FILM))
        r = jm.solve(IDEAL, case, throw=False)
        found = [getattr(r, name) for name in OUTPUTS]
        return jnp.stack([jnp.sum(jnp.where(r.ok.reshape(-1, *(1,) * (x.ndim - 1)), x, 0.0)) for x in found])

    inputs = jnp.asarray(1.3e-6), jnp.asarray(298.0)
    slopes = jax.jit(jax.jacrev(total, (0, 1, 2)))
    mixed = slopes(*inputs, jnp.array([0.47e-9, bad, 0.5e-9]))
    clean = slopes(*inputs, jnp.array([0.47e-9, 0.5e-9]))
    for a, b in zip(mixed[:2], clean[:2], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10)
    np.testing.assert_array_equal(mixed[2][:, 1], 0.0)

    def raw(radius: jax.Array) -> jax.Array:  # without the mask
        case = jm.Case(FEED, jm.PoreMembrane(radius, 1.3e-6, -30.0, 41.0), jm.FluxDriven(1e-5, FILM))
        r = jm.solve(IDEAL, case, throw=False)
        return sum(jnp.sum(getattr(r, name)) for name in OUTPUTS)

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
