"""Currents through a layer and electroconvection: limits, symmetries, conservation, and what the plane has in common with the line."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmem as jm
from jaxmem._status import code
from jaxmem.models.nernst_planck_poisson.perturbation import leading, matrix
from jaxmem.models.nernst_planck_poisson.steady import at_rest

CEM = jm.IonExchangeMembrane()
LINE = jm.NernstPlanckPoisson()
GROUPS = jm.Groups(jm.debye(eps=1e-2), 0.5)
SMALL: dict[str, Any] = {"columns": 16, "rows": 32, "samples": 20}


def plane(
    voltage: float = 30.0, groups: jm.Groups = GROUPS, box: float = 1.73, membrane: Any = CEM, **numerics: Any
) -> Any:
    model = jm.Electroconvection(**{**SMALL, **numerics})
    return jm.solve(model, groups.case(membrane, voltage=voltage, box=box), throw=False)


# ------------------------------------------------------------------------------ one dimension


def test_current_imposed_returns_the_voltage():
    volts = np.asarray([0.3, 2.0, 9.0, 25.0])
    currents = jm.solve(LINE, GROUPS.case(CEM, voltage=volts)).scaled_current
    back = jm.solve(LINE, GROUPS.case(CEM, current=currents))
    np.testing.assert_allclose(back.scaled_voltage, volts, rtol=1e-8)
    np.testing.assert_allclose(back.scaled_current, currents, rtol=1e-10)


def test_a_sweep_is_its_points():
    volts = np.asarray([40.0, 3.0, -2.0, 11.0])
    swept = jm.solve(LINE, GROUPS.case(CEM, sweep=volts))
    apart = jm.solve(LINE, GROUPS.case(CEM, voltage=volts))
    np.testing.assert_allclose(swept.scaled_current, apart.scaled_current, rtol=1e-10)
    np.testing.assert_allclose(swept.concentration, apart.concentration, rtol=1e-8, atol=1e-14)
    assert swept.space_charge_thickness.shape == (4,)


def test_anion_exchangers_mirror_cation_exchangers():
    """Signs of charges, voltage and current turn; a salt with the faster anion becomes one with the faster cation."""
    volts = np.asarray([1.0, 5.0, 20.0])
    one = jm.solve(LINE, jm.Groups(1e-2, 0.5, 0.7).case(CEM, sweep=volts))
    other = jm.solve(LINE, jm.Groups(1e-2, 0.5, 1.0 / 0.7).case(jm.IonExchangeMembrane("anions"), sweep=-volts))
    np.testing.assert_allclose(other.scaled_current, -np.asarray(one.scaled_current), rtol=1e-10)
    np.testing.assert_allclose(other.concentration[:, ::-1], one.concentration, rtol=1e-8, atol=1e-14)


def test_limiting_currents_of_unlike_ions():
    """``D_1 (1 + |z_1/z_2|)`` in equivalents: 1 + D+/D- for a 1:1 salt; approached from the plateau as the Debye length vanishes."""
    for groups in (jm.Groups(2e-4, 0.5, 0.66), jm.Groups(2e-4, 0.5, 0.5, charges=(2, -1))):
        result = jm.solve(jm.NernstPlanckPoisson(256), groups.case(CEM, voltage=10.0))
        np.testing.assert_allclose(result.scaled_current, result.scaled_limiting_current, rtol=0.02)
    np.testing.assert_allclose(
        jm.solve(LINE, jm.Groups(1e-3, 0.5, 0.66).case(CEM, voltage=1.0)).scaled_limiting_current, 1.66, rtol=1e-12
    )


def test_two_dresses_of_one_question():
    """Another thickness, salt strength and fluid with the same groups: the same scaled answer, and the groups come back."""
    a, b = (jm.Groups(1e-3, 0.5, 0.8).case(CEM, voltage=15.0, thickness=t) for t in (1e-4, 3.7e-6))
    one, other = jm.solve(LINE, a), jm.solve(LINE, b)
    np.testing.assert_allclose(one.scaled_current, other.scaled_current, rtol=1e-8)
    for case in (a, b):
        groups = jm.similarity(case)
        np.testing.assert_allclose([groups.eps, groups.kappa, groups.diffusivity_ratio], [1e-3, 0.5, 0.8], rtol=1e-12)
    for given in ({"eps": 1e-3}, {"nu_D": np.sqrt(2.0) * 1e-3}, {"eps_U": 2e-6}):
        np.testing.assert_allclose(jm.debye(**given), 1e-3, rtol=1e-12)


def test_groups_of_salts():
    """NaCl and KCl at 25 C (mu 0.89 mPa s): kappa 0.32 and 0.26; the similarity identity; D+/D- of the table."""
    for cation, kappa in (("Na+", 0.32), ("K+", 0.26)):
        salt = jm.Mixture.from_concentration({cation: 1.0, "Cl-": 1.0})
        case = jm.Case(salt, CEM, jm.Voltage(0.5, 5e-4, velocity=1e-4))
        groups = jm.similarity(case)
        np.testing.assert_allclose(groups.kappa, kappa, atol=0.005)
        np.testing.assert_allclose(groups.electric * groups.reynolds * groups.peclet, groups.kappa, rtol=1e-12)
    np.testing.assert_allclose(
        jm.similarity(
            jm.Case(jm.Mixture.from_concentration({"Na+": 1.0, "Cl-": 1.0}), CEM, jm.Voltage(0.5, 5e-4, velocity=1e-4))
        ).peclet,
        31.0,
        rtol=0.01,
    )


def test_closure_of_the_line():
    """The same current through every face."""
    result = jm.solve(jm.NernstPlanckPoisson(64), jm.Groups(1e-4).case(CEM, sweep=np.linspace(0.0, 120.0, 13)))
    assert float(result.closure.max()) < 1e-10


def test_random_layers():
    """Voltages to 120, Debye ratios of two decades, diffusivities, enrichments: all solve."""
    rng = np.random.default_rng(4)
    n = 64
    groups = jm.Groups(10.0 ** rng.uniform(-4, -2, n), 0.5, 2.0 ** rng.uniform(-2, 2, n))
    membrane = jm.IonExchangeMembrane(enrichment=10.0 ** rng.uniform(-0.5, 1.0, n))
    result = jm.solve(LINE, groups.case(membrane, voltage=rng.uniform(0.0, 120.0, n)), throw=False)
    assert bool(result.ok.all())
    assert float(result.closure.max()) < 1e-9


@pytest.mark.campaign
def test_a_thousand_random_layers():
    rng = np.random.default_rng(5)
    n = 1000
    groups = jm.Groups(10.0 ** rng.uniform(-4, -2, n), 0.5, 2.0 ** rng.uniform(-2, 2, n))
    membrane = jm.IonExchangeMembrane(enrichment=10.0 ** rng.uniform(-0.5, 1.0, n))
    result = jm.solve(LINE, groups.case(membrane, voltage=rng.uniform(0.0, 120.0, n)), throw=False)
    print(result.messages(), "worst closure", float(result.closure.max()))
    assert bool(result.ok.all())


# ------------------------------------------------------------------------------ the plane


def test_without_disturbance_the_plane_is_the_line():
    result = plane(amplitude=0.0, duration=0.05)
    np.testing.assert_allclose(result.current_series, result.state.at_rest, rtol=1e-12)
    assert float(result.speed) == 0.0
    assert int(result.kind) == 0
    assert float(result.vortex_diameter) == 0.0


def test_salt_and_charge_are_conserved_to_round_off():
    """Each step: what the box gains is what came through the walls; in the mean the same current passes both walls."""
    told: list[float] = []
    result = plane(duration=0.3, progress=lambda said: told.append(float(said.time)))
    jax.effects_barrier()
    np.testing.assert_allclose(sorted(told), result.time, rtol=1e-6)
    assert float(result.speed) > 5.0
    assert float(result.salt_closure) < 1e-12
    late = np.asarray(result.state.seen.current)[-1], np.asarray(result.state.seen.current_high)[-1]
    np.testing.assert_allclose(*late, rtol=5e-3)


def test_vortices_carry_more_current_than_rest():
    """The published pair at eps 1e-2, V 30: current 4.11 and speed 22.6 within 2 % on 24 x 48 cells."""
    result = plane(columns=24, rows=48, samples=100, duration=0.45, window=0.2)
    np.testing.assert_allclose(result.scaled_current.value, 4.11, rtol=0.02)
    np.testing.assert_allclose(result.speed, 22.6, rtol=0.03)
    np.testing.assert_allclose(result.vortex_diameter, 0.6014, atol=0.004)  # of the same fields by splines
    assert int(result.vortex_pairs) == 1
    assert int(result.kind) in (1, 2)


def test_a_seeded_mode_grows_as_the_linear_problem_of_its_cells_says():
    """``exp(sigma t)`` with the modified wavenumber of the columns, within 0.5 %."""
    model = jm.Electroconvection(**SMALL, duration=0.14, longest=4e-5, amplitude=1e-6)
    case = GROUPS.case(CEM, voltage=30.0, box=1.73)
    result = jm.solve(model, case)
    speed, time = np.asarray(result.state.seen.speed_v), np.asarray(result.time)
    measured = np.polyfit(time[-10:], np.log(speed[-10:]), 1)[0]
    layer, co_ions = model.layer(case)
    rest, _ = at_rest(layer, co_ions, jnp.asarray(30.0))
    dx = 1.73 / 16
    wave = 2.0 / dx * np.sin(np.pi / 16)
    expected, _ = leading(matrix(layer, jnp.asarray(0.5), rest.cells, rest.voltage, jnp.asarray(wave)))
    np.testing.assert_allclose(measured, expected, rtol=5e-3)


def test_below_onset_vortices_die_and_without_force_none_come():
    down = jm.solve(jm.Electroconvection(**SMALL, duration=0.4), GROUPS.case(CEM, sweep=[30.0, 15.0, 15.0], box=1.73))
    rest = jm.solve(LINE, GROUPS.case(CEM, voltage=15.0)).scaled_current
    assert float(down.scaled_current.value[0]) > 1.25 * float(down.state.at_rest)
    np.testing.assert_allclose(down.scaled_current.value[2], rest, rtol=0.01)
    weak = plane(groups=jm.Groups(1e-2, 4e-4), duration=0.3)  # a coefficient of 2 in place of 2500
    np.testing.assert_allclose(weak.scaled_current.value, weak.state.at_rest, rtol=1e-3)


def test_iterations():
    """Five of conjugate gradients against sixteen; two are told to be too few."""
    five = plane(duration=0.3)
    many = plane(duration=0.3, iterations=16)
    np.testing.assert_allclose(five.scaled_current.value, many.scaled_current.value, rtol=1e-3)
    assert int(five.status) == int(many.status) == 0


@pytest.mark.campaign
def test_precision_and_too_few_iterations():
    """Single against double precision; two iterations give a plausible current and a status."""
    five = plane(duration=0.3)
    few = plane(groups=jm.Groups(1e-3, 0.5), box=1.57, columns=32, rows=64, duration=0.1, longest=1e-4, iterations=2)
    assert int(few.status) == code("potential_unsolved")
    single = plane(duration=0.3, precision="float32")
    np.testing.assert_allclose(single.current_series, five.current_series, rtol=1e-3)


def test_single_precision_answers_in_full():
    """Every number of a result in single precision, printed and as a table, with types that never mix by themselves."""
    result = plane(duration=0.02, precision="float32")
    assert result.scaled_current.value.dtype == jnp.float32
    assert "RT/F" in str(result)
    assert len(result.to_dataframe()) == 1
    assert result.energy_spectrum.dtype == jnp.float32


def test_forced_flow_and_a_ramp_are_what_they_say():
    """With a pump the box moves at Poiseuille's speed; a slow ramp passes the currents of its voltages."""
    groups = jm.Groups(1e-2, 0.5, peclet=50.0)
    moved = plane(groups=groups, duration=0.02, amplitude=0.0)
    np.testing.assert_allclose(moved.speed, 75.0, rtol=0.01)
    np.testing.assert_allclose(moved.current_series, moved.state.at_rest, rtol=1e-9)
    thermal = float(GROUPS.case(CEM, voltage=1.0).conditions.voltage)
    feed = GROUPS.mixture()
    ramp = jm.Case(feed, CEM, jm.VoltageRamp(10.0 * thermal, 12.0 * thermal, 1e-4, 1.73e-4))
    result = jm.solve(jm.Electroconvection(**SMALL, duration=4.0, longest=5e-3, amplitude=0.0), ramp)
    expected = jm.solve(jm.NernstPlanckPoisson(512), GROUPS.case(CEM, sweep=np.asarray(result.state.seen.voltage)))
    np.testing.assert_allclose(result.current_series[-3:], expected.scaled_current[-3:], rtol=0.01)


def test_a_march_that_blows_up_says_so_and_hurts_nobody():
    """Forty equal steps, each far longer than what crosses a cell at 60 RT/F: told, with finite fields, and no other number beside it."""
    numerics = {"duration": 3.0, "steps": 40, "longest": 0.075, "amplitude": 0.1}
    both, sound = (plane(np.asarray(volts), **numerics) for volts in ([60.0, 5.0], [4.0, 5.0]))
    assert list(np.asarray(both.status)) == [code("blew_up"), 0]
    assert list(np.asarray(sound.status)) == [0, 0]
    np.testing.assert_allclose(both.current_series[1], sound.current_series[1], rtol=1e-12)
    assert bool(jnp.all(jnp.isfinite(both.state.c)))


def test_a_channel_passes_the_current_that_its_feed_brings():
    """Cation and anion exchanger, fed through the fringe: both membranes carry the same current, more where more is pumped."""
    pair = jm.MembranePair(CEM, jm.IonExchangeMembrane("anions"))
    slow, fast = (
        plane(25.0, jm.Groups(2e-2, 0.5, peclet=pe), 3.0, pair, duration=0.5, longest=2e-3, amplitude=0.0, window=0.2)
        for pe in (30.0, 90.0)
    )
    for result in (slow, fast):
        assert bool(result.ok)
        late = result.state.seen
        np.testing.assert_allclose(late.current[-1], late.current_high[-1], rtol=5e-3)
    assert 1.1 < float(fast.scaled_current.value / slow.scaled_current.value) < 3.0
    np.testing.assert_allclose(slow.scaled_voltage, 25.0, rtol=1e-9)


@pytest.mark.campaign
def test_forced_flow_suppresses_vortices():
    """eps 1e-3, V 25, two pairs of vortices: excess current falls with the flow and is gone at a peak velocity of 400."""
    found = []
    for peak in (0.0, 100.0, 400.0):
        groups = jm.Groups(1e-3, 0.5, peclet=peak / 1.5)
        result = plane(
            25.0,
            groups,
            2.64,
            columns=96,
            rows=70,
            samples=50,
            duration=0.6,
            longest=2e-4,
            pairs=2,
            amplitude=0.1,
            window=0.2,
        )
        found.append(float(result.scaled_current.value))
        rest = float(result.state.at_rest)
    print("currents at peak velocities 0, 100, 400:", found, "at rest", rest)
    assert found[0] > found[1] >= found[2] * 0.999
    np.testing.assert_allclose(found[0], 3.64, rtol=0.05)
    np.testing.assert_allclose(found[2], rest, rtol=5e-3)


@pytest.mark.campaign
def test_published_pair_at_a_small_debye_length():
    """eps 1e-3, V 30, box 1.32: 4.42 by a coupled method of second order, 4.4119 by this method elsewhere."""
    result = plane(
        30.0, jm.Groups(1e-3, 0.5), 1.32, columns=64, rows=96, samples=100, duration=0.6, longest=1e-4, window=0.1
    )
    np.testing.assert_allclose(result.scaled_current.value, 4.4119, rtol=2e-3)
    np.testing.assert_allclose(result.speed, 67.6, rtol=0.01)


def test_valences_come_back_from_a_case():
    """The criteria of a case are those that it was made of."""
    groups = jm.Groups(2e-4, 0.5, 0.5, charges=(2, -1))
    back = jm.similarity(groups.case(jm.IonExchangeMembrane(), voltage=3.0))
    assert back.charges == (2, -1)
    np.testing.assert_allclose(back.eps, groups.eps, rtol=1e-12)
    np.testing.assert_allclose(back.diffusivity_ratio, groups.diffusivity_ratio, rtol=1e-12)


def test_large_imposed_currents():
    """Beyond the voltages that were compared an answer says so; a current without an answer has a status, and prints."""
    currents = jnp.asarray([1.5, 5.0, 200.0])
    r = jm.solve(LINE, jm.Groups(1e-3, 0.5).case(CEM, current=currents), throw=False)
    assert r.ok.tolist() == [True, True, False]
    assert list(r.warnings().values()) == [1]
    assert "beyond 120 RT/F" in str(r)
    lost = jm.solve(LINE, jm.Groups(1e-3, 0.5).case(CEM, current=currents[2]), throw=False)
    assert not lost.warnings()
    assert "0/1" in str(lost)


def test_a_current_that_cannot_flow_has_no_derivative():
    """In reverse mode too, where the equations of its last state are singular; its neighbours keep theirs."""
    voltage = lambda i: jm.solve(LINE, jm.Groups(1e-2).case(CEM, current=i), throw=False).scaled_voltage
    slopes = jax.vmap(jax.grad(voltage))(jnp.asarray([1.5, 1000.0, 2.0]))
    assert float(slopes[1]) == 0.0
    np.testing.assert_allclose(slopes[::2], jax.vmap(jax.grad(voltage))(jnp.asarray([1.5, 2.0])), rtol=1e-10)


def test_what_a_plane_is_asked_wrongly():
    """A box without room in one lane, voltages that drive the current backwards, narrow boxes."""
    brief = jm.Electroconvection(16, 32, duration=0.01, samples=4)
    case = jm.Groups(1e-2).case(CEM, voltage=20.0, box=jnp.asarray([1.7, 0.1]))
    r = jm.solve(brief, case, throw=False)
    assert list(np.asarray(r.status)) == [0, code("box_too_short")]
    assert len(r.to_dataframe()) == 2
    assert np.isnan(r.to_dataframe().vortex_diameter[1])
    alone = jm.solve(brief, jm.Groups(1e-2).case(CEM, voltage=20.0, box=1.7))
    np.testing.assert_allclose(r.scaled_current.value[0], alone.scaled_current.value, rtol=1e-12)
    back = jm.solve(brief, jm.Groups(1e-2).case(CEM, voltage=-5.0, box=0.9)).warnings()
    assert any("runs backwards" in text for text in back)
    assert any("shorter than 1 thickness" in text for text in back)
    with pytest.raises(jm.JaxmemError, match=r"longer than longest = 0.0005. Write steps=20"):
        jm.Electroconvection(16, 32, duration=0.01, samples=4, steps=8)


def test_single_answers_are_tables():
    """Of one voltage, without an axis: a row; and a negative Debye length is no number where nobody can look."""
    one = jm.solve(LINE, jm.Groups(1e-2).case(CEM, voltage=3.0))
    assert len(one.to_dataframe()) == 1
    np.testing.assert_allclose(one.to_dataframe().eps[0], 1e-2, rtol=1e-12)
    assert one.to_dataframe().status[0] == 0
    told = jm.solve(jm.vortex_networks(), jm.Groups(4e-3, peclet=10.0).case(CEM, voltage=30.0, box=1.5))
    assert "1/1 answered" in str(told)
    assert len(told.to_dataframe()) == 1
    status = jax.vmap(lambda e: jm.solve(LINE, jm.Groups(e).case(CEM, voltage=3.0), throw=False).status)
    assert status(jnp.asarray([1e-2, -1.0])).tolist() == [0, code("outside_model")]


def test_a_straight_line_has_no_plateau():
    v = jnp.linspace(0.0, 30.0, 31)
    for slope in (0.3, 0.7, 1.0, 1.1):
        assert not bool(jm.plateau(v, slope * v, ohmic=(0.0, 3.0), flat=(8.0, 18.0), overlimiting=(20.0, 28.0)).ordered)


def test_the_parts_of_a_curve_are_drawn():
    result = jm.solve(LINE, jm.Groups(1e-2).case(CEM, sweep=jnp.linspace(0.0, 40.0, 41)))
    parts = jm.plateau(result.voltage, result.current, ohmic=(0.0, 0.04), flat=(0.12, 0.4), overlimiting=(0.7, 1.03))
    labels = [line.get_label() for line in result.plot.curve(parts=parts).get_lines()]
    assert {"ohmic", "plateau", "overlimiting"} <= set(labels)
