"""Measurements of anything: the same fit for reverse osmosis, vessels and ion-exchange membranes, from arrays and from files."""

from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

import jaxmem as jm
from jaxmem.case import all_quantities
from jaxmem.data.measured_csv import unit_of
from jaxmem.models.base import AbstractModel
from jaxmem.units import LMH, LMH_per_bar, bar, um_per_s

from .test_cli import call

A, B = 3.0 * LMH_per_bar, 8e-8
AB = jm.Free(water_permeance=jm.LogInterval(1e-12, 1e-10), salt_permeability=jm.LogInterval(1e-9, 1e-5))


def coupon(**changes: float) -> jm.Case:
    """Three salt waters at five pressures, behind a film."""
    salt = jnp.asarray([30.0, 100.0, 300.0])[:, None]
    feed = jm.Mixture.from_concentration({"Na+": salt, "Cl-": salt})
    pressed = jm.PressureDriven(jnp.linspace(15.0, 50.0, 5) * bar, jm.film("D^(2/3)", 30 * um_per_s))
    return jm.Case(feed, jm.SolutionDiffusionMembrane(A, B), pressed).replace(**changes)


def seen(y: jnp.ndarray, relative: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """With noise, and its size."""
    sigma = relative * np.abs(np.asarray(y))
    return np.asarray(y) + sigma * np.random.default_rng(seed).standard_normal(sigma.shape), sigma


def test_permeance_and_permeability_come_back() -> None:
    r = jm.solve(jm.SolutionDiffusion(), coupon())
    flux, sigma = seen(r.volume_flux, 0.01, 0)
    flux[0, 0] = np.nan  # not measured
    start = coupon(water_permeance=1e-12, salt_permeability=1e-6)
    data = jm.measured(start, volume_flux=(flux, sigma), permeate=seen(r.permeate, 0.03, 1))
    assert len(data) == 14 + 30
    assert "volume_flux" in str(data)
    found = jm.fit(jm.SolutionDiffusion(), data, AB, starts=2)
    assert np.all(np.abs(found.value - [A, B]) < 3.0 * found.error)
    assert np.all(found.error < [0.01 * A, 0.02 * B])
    assert 0.7 < found.misfit < 1.3
    assert found.loose() == []
    plan = found.propose("salt_permeability", coupon()[0])
    assert plan.errors.shape == (5,)
    assert (plan.errors < plan.error).all()


def test_the_errors_are_those_of_weighted_least_squares() -> None:
    """B of 20 equal coupons without polarisation, by hand: the mean, and sigma over the root of 20."""
    case = jm.Case(jm.Mixture.from_concentration({"Na+": 50.0, "Cl-": 50.0}), jm.SpieglerKedemMembrane(1.0, 1e-7), jm.FluxDriven(jnp.full(20, 20 * LMH)))  # fmt: skip
    passed = jm.solve(jm.SpieglerKedem(), case).passage[:, 0]
    values = np.asarray(passed) * (1.0 + 0.01 * np.random.default_rng(2).standard_normal(20))
    data = jm.measured(case, {"passage.Na+": (values, 0.01 * np.asarray(passed))})
    found = jm.fit(jm.SpieglerKedem(), data, jm.Free(permeability=jm.LogInterval(1e-9, 1e-5)), starts=1)
    p = values.mean()
    by_hand = (values.std(ddof=1) / np.sqrt(20)) / p
    flux = float(case.conditions.volume_flux[0])
    b = flux * p / (1.0 - p)
    assert np.isclose(found.value[0], b, rtol=1e-5)
    assert np.isclose(found.error[0], by_hand * b / (1.0 - p), rtol=1e-3)


def test_what_a_spacer_does_comes_back_from_a_vessel() -> None:
    """Mass transfer, friction and A together, from permeate, its salt and the pressure lost at four flows."""
    spacer = {"mass_transfer": jm.SpacerTransfer(0.6), "friction": jm.SpiralFriction(9.0)}
    flow = jnp.array([4.0, 6.0, 9.0, 12.0]) * jm.units.m3_per_h
    salt = jm.Mixture.from_concentration({"Na+": 500.0, "Cl-": 500.0})
    of = lambda **laws: jm.Case(salt, jm.Vessel(jm.element("SW30HRLE-400", **laws), 3), jm.FeedPressure(60 * bar, flow))
    r = jm.solve(jm.SpiralWound(), of(**spacer))
    named = ("permeate_flow", "permeate_concentration", "pressure_drop")
    data = jm.measured(of(), {n: (getattr(r, n), 0.01 * getattr(r, n)) for n in named})
    free = jm.Free(
        sherwood_factor=jm.LogInterval(0.1, 2.0),
        friction_factor=jm.LogInterval(1.0, 50.0),
        water_permeance=jm.LogInterval(1e-13, 1e-11),
    )
    found = jm.fit(jm.SpiralWound(), data, free, starts=4)
    truth = of().membrane.element.membrane.water_permeance
    np.testing.assert_allclose(found.value, [0.6, 9.0, truth], rtol=1e-6)
    assert len(found.loose()) == 0


def test_every_number_with_a_unit_stands_in_the_case() -> None:
    """So that ``Free`` reaches it; models hold options, steps of time, and weights, which ``train`` moves."""
    models = [x for x in vars(jm).values() if isinstance(x, type) and issubclass(x, AbstractModel)]
    made = [
        m()
        for m in models
        if m.__name__
        not in ("AbstractModel", "AttentionNeuralODE", "VortexNetworks", "BoundedResidual", "Electroconvection")
    ]
    assert len(made) > 8
    for model in made:
        assert list(all_quantities(model)) == []


def test_a_diffusion_layer_comes_back_from_curves_of_current() -> None:
    feed = jm.Mixture.from_concentration({"Na+": jnp.asarray([0.1, 0.3]), "Cl-": jnp.asarray([0.1, 0.3])})
    case = jm.Case(feed, jm.IonExchangeMembrane(), jm.VoltageSweep(jnp.linspace(0.05, 0.6, 4), thickness=1e-4))
    model = jm.NernstPlanckPoisson(cells=64)
    data = jm.measured(case, current=seen(jm.solve(model, case).current, 0.02, 3))
    found = jm.fit(model, data, jm.Free(thickness=jm.LogInterval(2e-5, 1e-3)), starts=1)
    assert abs(found.value[0] - 1e-4) < 3.0 * found.error[0]
    assert found.error[0] < 2e-6
    axes = found.plot.residuals("current")
    assert axes.get_xlabel() == "Measurement"
    with pytest.raises(jm.JaxmemError, match="'currant' is not known"):
        found.plot.parity("currant")


def test_relative_noise_is_that_of_logarithms() -> None:
    noise, y = jm.Relative(), jnp.asarray([1.0, 2.0, 3.0])
    rows = noise(1.1 * y, y.at[2].set(jnp.nan), 0.1 * y)
    assert np.allclose(rows, [np.log(1.1) / 0.1, np.log(1.1) / 0.1, 0.0])
    assert np.isnan(noise(-y, y, y)).all()
    assert np.isnan(noise(y, 0.0 * y, y)).all()  # no relative error of nothing
    assert np.allclose(jm.Gaussian()(1.1 * y, y, 0.1 * y), 1.0)


def test_measurements_that_no_model_could_meet_are_counted() -> None:
    salt = jm.measured(coupon()[0, :2], permeate=(jnp.asarray([[1.0, 1.0], [0.0, 1.0]]), 0.1))
    with pytest.raises(jm.JaxmemError, match=r"Relative gives no residual for 1 of 4 measurements.*jm.Gaussian"):
        jm.fit(jm.SolutionDiffusion(), salt, AB, noise=jm.Relative())
    assert salt.unusable(jm.Gaussian()) == 0


def test_sigma_of_lanes_and_of_everything() -> None:
    """A standard error for each lane is that of all ions of the lane, also where there are as many lanes as ions."""
    one = coupon()[0, :2]
    data = jm.measured(one, permeate=(jnp.ones((2, 2)), jnp.asarray([0.1, 10.0])))
    assert np.array_equal(data.errors[0], [[0.1, 0.1], [10.0, 10.0]])
    with pytest.raises(jm.JaxmemError, match="gives no residuals"):
        jm.fit(jm.SolutionDiffusion(), data, AB, noise=jm.Gaussian)  # type: ignore[arg-type]


def test_units_are_those_that_results_state() -> None:
    assert [unit_of(x) for x in ("volume_flux", "current", "permeate.Na+", "permeate_concentration", "recovery", "odd")] == [
        "m/s", "A/m2", "mol/m3", "kg/m3", "1", None,
    ]  # fmt: skip
    assert unit_of("solute_flux.Na+") == "mol/m2/s"


def test_names_that_stand_twice(tmp_path: Path) -> None:
    pore = jm.PoreMembrane(0.5e-9, 1e-6, -20.0, 45.0)
    layered = jm.Case(coupon()[0, 0].feed, jm.LayeredMembrane((pore, pore)), jm.FluxDriven(1e-5))
    data = tmp_path / "t.csv"
    data.write_text("charge_density [mol/m3],volume_flux [LMH],sigma_volume_flux [%]\n-10,30,2\n")
    with pytest.raises(jm.DataFileError, match=r"several places of the case.*membrane.layers.0.charge_density"):
        jm.measured(layered, data)


COUPON = """
[feed]
"Na+" = "100 mM"
"Cl-" = "100 mM"
[membrane]
water_permeance = "1 LMH/bar"
salt_permeability = "0.4 um/s"
[conditions]
pressure = "20 bar"
mass_transfer = "30 um/s"
"""
HEADER = "pressure [bar],c_Na [mM],c_Cl [mM],volume_flux [LMH],sigma_volume_flux [%],observed_rejection_Na [%],sigma_observed_rejection_Na"


def files(folder: Path) -> tuple[Path, Path]:
    """A case, and what its model makes of other A and B, rounded as people write it."""
    case, data = folder / "coupon.toml", folder / "tests.csv"
    case.write_text(COUPON)
    r, lines = jm.solve(jm.SolutionDiffusion(), coupon()), ["# seven coupons", HEADER]
    for i, salt in ((0, 30), (2, 300)):
        for j in range(5):
            cells = (np.linspace(15, 50, 5)[j], salt, salt, r.volume_flux[i, j] / LMH, 1, 100 * r.observed_rejection[i, j, 0], 0.1)  # fmt: skip
            lines.append(",".join(f"{float(x):.8g}" for x in cells))
    data.write_text("\n".join(lines))
    return case, data


def test_fit_from_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    case, data = files(tmp_path)
    out, page = tmp_path / "fit.csv", tmp_path / "fit.html"
    words = ("--case", str(case), "--free", "water_permeance, salt_permeability", "--starts", "3")
    code, text = call(monkeypatch, capsys, "fit", str(data), *words, "--csv", str(out), "--report", str(page))
    assert code == 0, text
    rows = [line.split(",") for line in out.read_text().splitlines()[1:]]
    assert np.allclose([float(r[1]) for r in rows], [A, B], rtol=1e-4)
    assert page.read_text().count("<img") == 4  # two quantities
    read = jm.measured(coupon()[0, 0], data)
    assert read.source == "seven coupons"
    assert np.allclose(read.errors[0], 0.01 * read.values[0])
    assert np.allclose(read.errors[1], 0.001)
    data.write_text("".join(f"{line},\n" for line in data.read_text().splitlines()))  # as spreadsheets do
    assert len(jm.measured(coupon()[0, 0], data)) == len(read)


def test_errors_as_they_are_stated(tmp_path: Path) -> None:
    """In the unit of the value, in percent of it, or as a fraction; one that belongs to nothing measured is refused."""
    case = jm.Case(
        jm.Mixture.from_concentration({"Na+": 20.0, "Cl-": 20.0}, viscosity=1.3e-3),
        jm.membrane("NF270"),
        jm.FluxDriven(1e-5),
    )
    data = tmp_path / "t.csv"
    for unit, sigma in (("[%]", 0.02), ("", 0.02), ("[fraction]", 2.0), ("[-]", 2.0)):
        data.write_text(
            f"c_Na [mM],c_Cl [mM],observed_rejection_Na [%],sigma_observed_rejection_Na {unit}\n30,30,50,2\n"
        )
        read = jm.measured(case, data)
        assert float(read.errors[0][0]) == pytest.approx(sigma)
    assert float(read.case.feed.viscosity) == 1.3e-3
    data.write_text(
        "volume_flux [LMH],sigma_volume_flux [%],observed_rejection_Na [%],sigma_observed_rejection_Na\n30,1,50,2\n"
    )
    with pytest.raises(jm.DataFileError, match="volume_flux is no column of measurements"):
        jm.measured(case, data)


def test_masses_of_ions_and_degrees(tmp_path: Path) -> None:
    """Permeates in mg/L are mol/m3 of the Result; temperatures may be in degrees Celsius."""
    data = tmp_path / "t.csv"
    data.write_text("temperature [degC],permeate_Na [mg/L],sigma_permeate_Na [%]\n25,22.98977,2\n35,45.97954,2\n")
    read = jm.measured(coupon()[0, 0], data)
    assert np.allclose(read.values[0], [1.0, 2.0], rtol=1e-4)
    assert np.allclose(read.case.feed.temperature, [298.15, 308.15])


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("volume_flux [LMH]", "volume_fluks [LMH]", "closest: "),
        ("pressure [bar]", "pressure [LMH]", "'LMH' is not a unit of pressure"),
        ("c_Cl [mM]", "c_Mg [mM]", "Mg+2 is not in the feed of the case"),
        ("c_Cl [mM]", "sigma_pressure [%]", "Cl- of the feed has no column. Add c_Cl- [mM]"),
        (",0.1\n", ",-1\n", "It must be above zero"),
        (",sigma_observed_rejection_Na", ",other [%]", "Leave the unit out and give SI"),
        ("15,30,30", "x,30,30", "line 3, column 'pressure [bar]': 'x' is not a number"),
        ("15,30,30", "15,30,40", "charge"),
        ("volume_flux [LMH]", "volume_flux [bar]", "'bar' is not a unit of volume_flux"),
        ("volume_flux [LMH]", "volume_flux", "the volume_flux has no unit"),
        ("c_Cl [mM]", "c_Na+ [mM]", "another column, 'c_Na [mM]', says this already"),
        ("pressure [bar]", "conditions.pressure [bar],pressure [bar]", "says this already"),
    ],
)
def test_wrong_files_are_refused(tmp_path, monkeypatch, capsys, old, new, told) -> None:  # type: ignore[no-untyped-def]
    case, data = files(tmp_path)
    text = data.read_text()
    assert old in text
    data.write_text(text.replace(old, new))
    code, out = call(monkeypatch, capsys, "fit", str(data), "--case", str(case), "--free", "water_permeance")
    assert code == 2
    assert told in out
    assert "Traceback" not in out


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('mass_transfer = "30 um/s"', 'film = "plain"', "'film' is for ions"),
        ('salt_permeability = "0.4 um/s"', "", "needs water_permeance and salt_permeability together"),
        ("[feed]", 'model = "DSPMDE"\n[feed]', "A and B belong to solution-diffusion"),
    ],
)
def test_wrong_coupons_are_refused(tmp_path, monkeypatch, capsys, old, new, told) -> None:  # type: ignore[no-untyped-def]
    assert old in COUPON
    (tmp_path / "coupon.toml").write_text(COUPON.replace(old, new))
    code, out = call(monkeypatch, capsys, "solve", str(tmp_path / "coupon.toml"))
    assert code == 2
    assert told in out


@pytest.mark.parametrize(
    ("call_", "told"),
    [
        (lambda c: jm.measured(c), "belong to a case"),
        (lambda c: jm.measured(c, volume_flux=jnp.ones(5)), "needs values and their standard error"),
        (lambda c: jm.measured(c, volume_flux=(jnp.ones(4), 0.1)), "do not fit the lanes"),
        (lambda c: jm.measured(c, volume_flux=(1e-6, 1e-8)), "do not fit the lanes"),
        (lambda c: jm.measured(c, volume_flux=("a", 1e-8)), "no number"),
        (lambda c: jm.measured(jm.SolutionDiffusion(), "tests.csv"), "belong to a case"),
        (lambda c: jm.measured(c, volume_flux=(jnp.ones((3, 5)), 0.0)), "standard error above zero"),
        (lambda c: jm.measured(c, volume_flux=(jnp.full((3, 5), jnp.nan), 0.1)), "holds no measurement"),
        (
            lambda c: jm.fit(jm.SolutionDiffusion(), jm.measured(c, volume_flucks=(jnp.ones((3, 5)), 0.1)), AB),
            "Closest: volume_flux",
        ),
        (
            lambda c: jm.fit(jm.SolutionDiffusion(), jm.measured(c, permeate=(jnp.ones((3, 5)), 0.1)), AB),
            "Give one value for each",
        ),
        (lambda c: jm.fit(jm.SolutionDiffusion(), {"volume_flux": 1.0}, AB), "holds no measurements"),
    ],
)
def test_wrong_measurements_are_refused(untyped, call_, told) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(jm.JaxmemError) as caught:
        call_(coupon())
    assert told in str(caught.value)
