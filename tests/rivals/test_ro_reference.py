"""Every entry of the reverse-osmosis reference file that one dimension holds."""

import json
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

import jaxmem as jm
from jaxmem.chemistry.brine import NaClBrine
from jaxmem.chemistry.osmotic import PitzerNaCl, QuadraticNaCl, SeaSalt, VanTHoff
from jaxmem.membranes.polarisation import (
    ConstantDrop,
    ConstantModulus,
    ConstantTransfer,
    FlatFriction,
    SpacerTransfer,
    SpiralFriction,
)
from jaxmem.membranes.solution_diffusion import MakerTemperature, NoTemperature

ENTRIES = {
    e["id"]: e
    for e in json.loads((Path(__file__).parents[1] / "reference/ro.json").read_text(encoding="utf-8"))["entries"]
}
ROOM = jnp.asarray(298.15)
SEED = VanTHoff(gas_constant=8.314, molar_mass=float(jm.species("Na+", "Cl-").molar_mass.sum()))


def entries(model: str) -> list[str]:
    return [name for name, e in ENTRIES.items() if e["model"] == model]


def nacl(mol: float, temperature: float = 298.15) -> jm.Mixture:
    return jm.Mixture.from_concentration({"Na+": mol, "Cl-": mol}, temperature=temperature)


def nacl_mass(kg: float) -> jm.Mixture:
    return nacl(kg / float(jm.species("Na+", "Cl-").molar_mass.sum()))


# ------------------------------------------------------------------------------------------- points


@pytest.mark.parametrize("name", [n for n in entries("seed_sdm") if "table" in n])
def test_seed_tables(name):
    i, o = ENTRIES[name]["inputs"], ENTRIES[name]["outputs"]
    membrane = jm.SolutionDiffusionMembrane(jnp.asarray(i["A_m_s_Pa"]), 0.0, temperature=NoTemperature())
    case = jm.Case(nacl(i["c_g_m3"] / 58.44, i["T_K"]), membrane, jm.PressureDriven(i["P_feed_Pa"]))
    flow = jm.solve(jm.SolutionDiffusion(SEED), case).volume_flux * i["area_m2"] * 86400
    np.testing.assert_allclose(flow, o["Q_m3_day"], atol=6e-5)
    if "table4" in name:
        np.testing.assert_allclose(np.round(flow, 3), o["printed_Q_m3_day"], atol=1e-12)
        driving = flow / (np.asarray(i["A_m_s_Pa"]) * i["area_m2"] * 86400)
        np.testing.assert_allclose(driving, o["NDP_Pa"], atol=100.0)


@pytest.mark.parametrize("name", entries("sdm_film"))
def test_point_with_film(name):
    i, o = ENTRIES[name]["inputs"], ENTRIES[name]["outputs"]
    membrane = jm.SolutionDiffusionMembrane(i["A_m_s_Pa"], i["B_m_s"], temperature=NoTemperature())
    k = None if i["k_m_s"] > 1.0 else jm.film("same", i["k_m_s"])
    case = jm.Case(nacl(i["c_b_mol_m3"], i["T_K"]), membrane, jm.PressureDriven(i["P_Pa"], k))
    r = jm.solve(jm.SolutionDiffusion(SEED), case)
    np.testing.assert_allclose(r.volume_flux, o["J_m_s"], rtol=2e-5)
    np.testing.assert_allclose(r.polarisation_modulus, o["cp_modulus"], rtol=2e-5)
    np.testing.assert_allclose(r.observed_rejection, o["R_observed"], rtol=2e-5)
    np.testing.assert_allclose(r.pressure, i["P_Pa"], rtol=1e-12)


def test_osmotic_laws():
    i, o = ENTRIES["osmotic_nacl_25C"]["inputs"], ENTRIES["osmotic_nacl_25C"]["outputs"]
    w = jnp.asarray(i["mass_fraction"])
    np.testing.assert_allclose(PitzerNaCl()(w, w, ROOM) / 1e5, o["pi_pitzer_bar"], atol=2e-3)
    np.testing.assert_allclose(QuadraticNaCl()(w, w, ROOM) / 1e5, o["pi_nacl_watertap_bar"], atol=2e-3)
    np.testing.assert_allclose(VanTHoff()(w, 1e3 * w, ROOM) / 1e5, o["pi_vant_hoff_ppm_as_g_m3_bar"], atol=2e-3)
    entry = ENTRIES["osmotic_coefficient_pitzer"]
    phi = PitzerNaCl().coefficient(jnp.asarray(entry["inputs"]["molality_mol_kg"]))
    np.testing.assert_allclose(phi, entry["outputs"]["phi"], atol=1e-4)
    sea = SeaSalt()(jnp.asarray(0.035), jnp.asarray(35.8), ROOM)
    np.testing.assert_allclose(sea / 1e5, ENTRIES["osmotic_seawater_35"]["outputs"]["pi_bar"], atol=0.05)
    warm = ENTRIES["tcf_maker"]
    factor = MakerTemperature()(jnp.asarray(warm["inputs"]["T_C"]) + 273.15)
    np.testing.assert_allclose(factor, warm["outputs"]["tcf"], atol=2e-3)


# ----------------------------------------------------------------------------------------- elements


def question(i: dict, area, scheme: str, cells: int) -> tuple[jm.SpiralWound, jm.Case]:
    brine = NaClBrine()
    h, eps, sides = i.get("h_m", 1e-3), i.get("porosity", 0.97), 2 if "spiral" in i.get("module", "") else 1
    friction = {"flat": FlatFriction(), "spiral": SpiralFriction()}.get(i.get("friction", ""))
    friction = friction or ConstantDrop(-i.get("dP_Pa", 0.0))
    if i["polarisation"] == "modulus":
        transfer = ConstantModulus(i["cp_modulus"])
    else:
        transfer = ConstantTransfer(i["k_m_s"]) if "k_m_s" in i else SpacerTransfer()
    w, mass, length = jnp.asarray(i["w_in"]), i["m_kg_s"], i.get("L_m", 1.0)
    if "Re_in" in i:
        d_h = 4 * eps * h / (2 + 8 * (1 - eps))
        length = area * h * eps * i["Re_in"] * brine.viscosity(w, ROOM) / (mass * d_h)
    membrane = jm.SolutionDiffusionMembrane(i["A_m_s_Pa"], i["B_m_s"], i.get("sigma", 1.0))
    element = jm.SpiralElement(membrane, area, length, h, eps, sides, transfer, friction)
    density = float(brine.density(w, ROOM))
    conditions = jm.FeedPressure(i["P_Pa"], mass / density, i["P_permeate_Pa"])
    model = jm.SpiralWound(scheme=scheme, cells=cells)
    return model, jm.Case(nacl_mass(density * float(w)), element, conditions)


@pytest.mark.parametrize("name", entries("ro_0d"))
def test_watertap_0d(name):
    i, o = ENTRIES[name]["inputs"], ENTRIES[name]["outputs"]
    r = jm.solve(*question(i, i["area_m2"], "trapezoid", 1))
    wall = r.state.nodes.wall
    np.testing.assert_allclose(1e3 * jnp.mean(wall.flux), o["Jw_kg_m2_s"], rtol=1e-5)
    np.testing.assert_allclose(jnp.mean(wall.flux * wall.ratio), o["Js_kg_m2_s"], rtol=1e-5)
    if "dP_Pa" in o:
        np.testing.assert_allclose(-r.pressure_drop, o["dP_Pa"], rtol=1e-5)
        np.testing.assert_allclose(r.state.nodes.flow.reynolds[0, 0], o.get("Re_in", r.state.nodes.flow.reynolds[0, 0]), rtol=1e-5)  # fmt: skip
    if "cm_in_kg_m3" in o:
        np.testing.assert_allclose(wall.interface[0], [o["cm_in_kg_m3"], o["cm_out_kg_m3"]], rtol=1e-5)


def area_for(i: dict, guess: float, scheme: str, cells: int) -> tuple[float, jm.SpiralWound, jm.Case]:
    """The area that gives the recovery of the entry, by secant steps on what jaxmem returns."""

    def miss(area: float) -> float:
        r = jm.solve(*question(i, area, scheme, cells))
        if "target_water_mass_recovery" in i:
            return float(1.0 - r.state.outlet.water / r.state.inlet.water) - i["target_water_mass_recovery"]
        return float(r.recovery) - i["target_volume_recovery"]

    a, b = guess, 1.01 * guess
    f, g = miss(a), miss(b)
    for _ in range(5):
        if abs(g) < 1e-13 or f == g:
            break
        a, b, f = b, b - g * (b - a) / (g - f), g
        g = miss(b)
    return b, *question(i, b, scheme, cells)


@pytest.mark.parametrize("name", entries("ro_1d"))
def test_watertap_1d_and_its_limit(name):
    """Three backward cells to 1e-5; and the default scheme with six cells at the converged values."""
    i, o = ENTRIES[name]["inputs"], ENTRIES[name]["outputs"]
    area, model, case = area_for(i, o["area_m2"], "backward", 3)
    np.testing.assert_allclose(area, o["area_m2"], rtol=1e-5)
    coarse = jm.solve(model, case)
    if "permeate_salt_kg_s" in o:
        np.testing.assert_allclose(
            coarse.state.inlet.salt - coarse.state.outlet.salt, o["permeate_salt_kg_s"], rtol=1e-5
        )
    if "Jw_first_kg_m2_s" in o:
        flux = 1e3 * coarse.state.nodes.wall.flux[0]
        np.testing.assert_allclose([flux[1], flux[-1]], [o["Jw_first_kg_m2_s"], o["Jw_last_kg_m2_s"]], rtol=1e-5)
    area, model, case = area_for(i, o["area_limit_m2"], "dormand_prince", 12)
    np.testing.assert_allclose(area, o["area_limit_m2"], rtol=1e-5)
    fine = jm.solve(model, case)
    if "permeate_salt_limit_kg_s" in o:
        np.testing.assert_allclose(
            fine.state.inlet.salt - fine.state.outlet.salt, o["permeate_salt_limit_kg_s"], rtol=1e-5
        )


@pytest.mark.parametrize("name", [pytest.param("fit_SW30-2514", marks=pytest.mark.campaign), "fit_SW30-4040_watertap"])
def test_fit_of_a_data_sheet(name):
    i, o = ENTRIES[name]["inputs"], ENTRIES[name]["outputs"]
    friction = {"flat": FlatFriction(), "spiral": SpiralFriction()}[i["friction"]]
    element = jm.SpiralElement(None, i["area_m2"], i["L_active_m"], i["h_m"], i["porosity"], friction=friction)
    sheet = jm.Sheet(i["Qp_m3_day"] / 86400, i["rejection"], i["recovery"], i["P_Pa"], i["c_feed_kg_m3"])
    model = jm.SpiralWound(scheme="backward", cells=i["cells"])
    fitted = jm.fit_sheet(element, sheet, model)
    membrane = fitted.element.membrane
    key = "" if "A_m_s_Pa" in o else "_isothermal_package"
    np.testing.assert_allclose(membrane.water_permeance, o[f"A_m_s_Pa{key}"], rtol=2e-3)
    np.testing.assert_allclose(membrane.salt_permeability, o[f"B_m_s{key}"], rtol=2e-3)
    assert fitted.permeance_range[0] < membrane.water_permeance < fitted.permeance_range[1]
    if key:
        np.testing.assert_allclose(membrane.water_permeance, o["A_m_s_Pa_published"], rtol=1e-2)
        np.testing.assert_allclose(membrane.salt_permeability, o["B_m_s_published"], rtol=1e-2)


# ------------------------------------------------------------------------------------------- layers

SALT = 32.0 / 0.05844


def outlet_of(key: str, flux: float, length: float):
    if key.endswith("DD0"):
        return jm.fem.Dirichlet(0.0)
    value = float(key.rsplit("_", 1)[-1].replace("m", "-").replace("p", ".")) if key[-1].isdigit() else 0.0
    return jm.fem.Gradient(value * SALT / length) if "gL" in key else jm.fem.TotalFlux(value * flux)


@pytest.mark.parametrize("peclet", [1, 10, 100])
def test_layer_is_exact_at_the_nodes(peclet):
    entry, d, length = ENTRIES[f"adm_exact_Pe{peclet}"], 1e-9, 1e-4
    velocity = peclet * d / length
    at = np.asarray(entry["inputs"]["x_over_L"])
    for key, exact in entry["outputs"].items():
        model = jm.ADM(elements=100, sign="weak" if "eq7" in key else "eq23")
        layer = jm.Layer(length, velocity, d, outlet_of(key, velocity * SALT, length))
        r = jm.solve(model, jm.Case(nacl(SALT), None, layer))
        ours = np.asarray(r.concentration)[np.round(at * 100).astype(int)] / SALT
        np.testing.assert_allclose(ours, exact, atol=1e-12, err_msg=key)
        np.testing.assert_allclose(r.fluxes.total, np.mean(r.fluxes.total), atol=2e-13 * velocity * SALT * 100 / peclet)


@pytest.mark.campaign
def test_galerkin_first_nodes_of_the_seed():
    o = ENTRIES["seed_galerkin_first_node"]["outputs"]
    for n, galerkin, supg in zip((50, 100, 500, 1000), o["c1_over_C0_galerkin"], o["c1_over_C0_supg"], strict=True):
        case = jm.Case(nacl(SALT), None, jm.Layer(0.356, 0.01, 1e-5, jm.fem.Dirichlet(0.0)))
        first = [
            float(jm.solve(jm.ADM(elements=n, sign="eq23", supg=s), case).concentration[1]) / SALT
            for s in (False, True)
        ]
        np.testing.assert_allclose(first, [galerkin, supg], atol=1e-4)


def test_ogata_and_banks():
    entry = ENTRIES["ogata_banks"]
    layer = jm.Layer(0.5, 1e-3, 1e-5, jm.fem.Gradient(0.0), time=100.0)
    r = jm.solve(jm.ADM(elements=1000, steps=800), jm.Case(nacl(SALT), None, layer))
    ours = np.interp(entry["inputs"]["x_m"], r.position, r.concentration / SALT)
    np.testing.assert_allclose(ours, entry["outputs"]["c_over_c0"], atol=1e-4)


@pytest.mark.parametrize("name", entries("diffusion_exp"))
def test_nonlinear_diffusion(name):
    i, o = ENTRIES[name]["inputs"], ENTRIES[name]["outputs"]
    model = jm.ADM(elements=400, diffusivity=jm.ExponentialDiffusivity(i["alpha_m3_mol"]))
    layer = jm.Layer(i["L_m"], 0.0, i["D0_m2_s"], jm.fem.Dirichlet(i["CL_mol_m3"]))
    r = jm.solve(model, jm.Case(nacl(i["C0_mol_m3"]), None, layer))
    np.testing.assert_allclose(r.concentration[200], o["c_mid_mol_m3"], rtol=1e-6)
    linear = i["D0_m2_s"] * (i["C0_mol_m3"] - i["CL_mol_m3"]) / i["L_m"]
    np.testing.assert_allclose(np.mean(r.fluxes.total) / linear, o["J_over_J_lin"], rtol=1e-6)


@pytest.mark.parametrize("name", entries("film_exp"))
def test_nonlinear_film(name):
    i, o = ENTRIES[name]["inputs"], ENTRIES[name]["outputs"]
    grading = tuple(float(x) for x in jm.fem.geometric(400, 0.985))
    model = jm.ADM(elements=400, grading=grading, diffusivity=jm.ExponentialDiffusivity(i["alpha_m3_mol"]))
    outlet = jm.fem.TotalFlux(i["v_m_s"] * i["c_p_mol_m3"])
    layer = jm.Layer(i["delta_m"], i["v_m_s"], i["D0_m2_s"], outlet)
    r = jm.solve(model, jm.Case(nacl(i["c_b_mol_m3"]), None, layer))
    np.testing.assert_allclose(r.concentration[-1], o["c_m_mol_m3"], rtol=1e-6)
