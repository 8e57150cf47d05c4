"""A whole WaterTAP unit: inlet and outlet points, average fluxes between them, mass balance of the feed channel."""

import numpy as np
import pytest

import jaxmem as jm

from .reference import batch, reference

ENTRIES = {e["name"]: e for e in reference()["watertap"]["test_cases"]}
MODEL = jm.DSPMDE.watertap_1_8()


NAMES = sorted(reference()["watertap"]["expected_values_1_8_0"])


@pytest.mark.parametrize("name", [*NAMES[:1], *(pytest.param(n, marks=pytest.mark.campaign) for n in NAMES[1:])])
def test_unit(name: str) -> None:
    """Iterate the outlet composition until the two points and the balance agree; compare fluxes and rejections."""
    entry, expected = ENTRIES[name], reference()["watertap"]["expected_values_1_8_0"][name]
    i = entry["inputs"]
    k = [entry[p].get("k") for p in ("inlet", "outlet")] if i["film"] != "none" else None
    outlet = inlet = i["feed"]
    for _ in range(12):
        case, ions = batch([{**i, "k": None}] * 2, feeds=[inlet, outlet], transfer=k, pressure=True)
        r = jm.solve(MODEL, case)
        mass = np.array([i["ions"].get(n, {}).get("molar_mass", 0.0) for n in ions])
        flux = np.asarray(r.solute_flux).mean(axis=0)  # mol/m2/s
        water = 997.0 * float(np.mean(np.asarray(r.volume_flux)))  # kg/m2/s: its volume flux is one of water
        c = np.asarray(case.feed.concentration[0])
        left = i["feed_kg_s"] / 1000.0 * c - i["area_m2"] * flux
        volume = (i["feed_kg_s"] - i["area_m2"] * (water + mass @ flux)) / 1000.0
        new = dict(zip(ions, left / volume, strict=True))
        moved, outlet = max(abs(new[n] / outlet[n] - 1.0) for n in i["ions"]), new
    assert moved < 1e-10
    mixed = flux / (flux @ mass + water) * 1000.0  # permeate of both points
    wall = np.asarray(r.interface[0])
    rejection = dict(zip(ions, 1.0 - mixed / np.where(wall > 0.0, wall, 1.0), strict=True))
    found = {**dict(zip(ions, flux, strict=True)), "H2O": water / 0.018}
    for n in i["ions"]:
        assert rejection[n] == pytest.approx(expected["R_intrinsic"][n], rel=5e-3)
    for n, value in expected["flux_avg_mol_m2_s"].items():
        assert found[n] == pytest.approx(value, rel=5e-3)
