"""Measured rejections from CSV files: what is read, and what is refused with file, line and column."""

import os
from pathlib import Path

import numpy as np
import pytest

import jaxmem as jm
from jaxmem.data.rejection_csv import dataset, salts

LONG = "membrane,solute,Jv [LMH],c_Na [mM],c_Cl [mM],R_observed,sigma_R\n"
ROWS = "NF270,Na+,36,20,20,0.5,0.01\nNF270,Cl-,36,20,20,0.5,\nNF270,Na,72,20,20,-0.25,0.02\n"
SALT = "membrane,dominant_salt,dominant_salt_mM,trace_salt_mM_each,temperature_C,solute,Jv_um_s,R_intrinsic,R_read_err,"
SALT += "Jv_read_err_um_s\n"
SALT_ROWS = "NF270,NaCl,10.0,0.2,20,NaCl,10.00,0.5,0.01,0.06\nNF270,NaCl,10.0,0.2,20,NO3,10.04,-0.1,0.02,0.06\n"


@pytest.fixture
def write(tmp_path):
    def to_file(text, encoding="utf-8"):
        path = tmp_path / "rejection.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
        return path

    return to_file


def refused(path, line, column, *words):
    """The message of the refusal, which must name the place."""
    with pytest.raises(jm.DataFileError) as caught:
        dataset(path)
    message = str(caught.value)
    for word in (str(path), f"line {line},", f"column {column!r}", *words):
        assert word in message
    return message


def measured_file():
    name = os.environ.get("JAXMEM_DATA") or Path(__file__).parents[2] / "../shared/data/nf270_trace_ions.csv"
    if not Path(name).is_file():
        pytest.skip(f"no measured data at {name}; set JAXMEM_DATA to the path of nf270_trace_ions.csv")
    return Path(name)


def test_general_format(write):
    data = dataset(write("# Someone 2020, doi 10.1000/xyz.1\n" + LONG + ROWS))
    assert (len(data), data.kind, data.case.batch_shape) == (3, "observed", (2,))
    assert data.case.feed.species.names == ("Na+", "Cl-")
    np.testing.assert_allclose(data.case.conditions.volume_flux, [1e-5, 2e-5], rtol=1e-12)
    np.testing.assert_array_equal(data.rejection, [[0.5, 0.5], [-0.25, np.nan]])
    np.testing.assert_array_equal(data.sigma, [[0.01, np.nan], [0.02, np.nan]])
    np.testing.assert_array_equal(data.measured, [[True, True], [True, False]])
    assert data.case.conditions.mass_transfer is None
    assert data.case.feed.temperature.tolist() == [298.15, 298.15]
    assert (data.doi, data.source) == ("10.1000/xyz.1", "Someone 2020, doi 10.1000/xyz.1")
    assert data.case.membrane.provenance.name == "NF270"
    assert len(str(data).splitlines()) <= 6


def test_salt_format(write):
    data = dataset(write(SALT + SALT_ROWS))
    assert (len(data), data.kind, data.feed_group) == (2, "real", ("NaCl 10.0 mM",))
    wall = {name: float(data.case.feed[name][0]) for name in ("Na+", "NH4+", "Cl-", "NO3-")}
    assert wall == pytest.approx({"Na+": 10.2, "NH4+": 0.2, "Cl-": 10.2, "NO3-": 0.2})
    values = dict(zip(data.case.feed.species.names, data.rejection[0].tolist(), strict=True))
    assert (values["Na+"], values["NO3-"]) == (0.5, -0.1)
    assert np.isnan([values["Cl-"], values["NH4+"]]).all()
    assert float(data.case.feed.temperature[0]) == pytest.approx(293.15)
    assert float(data.case.conditions.volume_flux[0]) == pytest.approx(10.02e-6)


def test_fluxes_beyond_their_errors_stay_apart(write):
    assert dataset(write(SALT + SALT_ROWS.replace("10.04", "10.20"))).case.batch_shape == (2,)
    same_solute = SALT_ROWS.replace("NO3", "NaCl").replace("-0.1", "0.51")
    assert dataset(write(SALT + same_solute)).case.batch_shape == (2,)


def test_absent_ions_are_zero_and_feeds_keep_their_labels(write):
    text = "solute,flux (m/s),c_Na_mM,c_Mg_mM,c_Cl [mol/m3],R_real,feed\nMg,1e-5,0,5,10,0.9,b\nNa,1e-5,10,0,10,0.4,a\n"
    data = dataset(write(text), membrane=jm.membrane("NF270"))
    np.testing.assert_array_equal(data.case.feed.concentration, [[0, 5, 10], [10, 0, 10]])
    assert data.feed_group == ("b", "a")


@pytest.mark.parametrize("flux", ["Jv [LMH]", "Jv (L/m2/h)", "flux_LMH", "J_v [L m^-2 h^-1]", "Jw [l/m²/h]"])
def test_flux_headers(write, flux):
    data = dataset(write(LONG.replace("Jv [LMH]", flux) + ROWS))
    np.testing.assert_allclose(data.case.conditions.volume_flux, [1e-5, 2e-5], rtol=1e-12)


@pytest.mark.parametrize(("unit", "factor"), [("[mg/L]", 1e-3), ("_mg_L", 1e-3), ("[g/L]", 1.0), ("(kg/m3)", 1.0)])
def test_mass_concentration(write, unit, factor):
    header = f"solute,Jv [LMH],c_Na {unit},c_Cl {unit},R_observed\n".replace(" _", "_")
    sodium, chloride = (20.0 * float(m) / factor for m in jm.species("Na+", "Cl-").molar_mass)
    data = dataset(write(header + f"Na,36,{sodium!r},{chloride!r},0.5\n"), jm.membrane("NF270"))
    np.testing.assert_allclose(data.case.feed.concentration, [[20.0, 20.0]], rtol=1e-12)


@pytest.mark.parametrize(
    ("header", "cell"), [("T [degC]", "30"), ("temperature_C", "30"), ("temperature_K", "303.15"), ("T [K]", "303.15")]
)
def test_temperature(write, header, cell):
    data = dataset(
        write(f"solute,Jv [LMH],c_Na [mM],c_Cl [mM],R_real,{header}\nNa,36,5,5,0.5,{cell}\n"), jm.membrane("NF270")
    )
    assert float(data.case.feed.temperature[0]) == pytest.approx(303.15)


@pytest.mark.parametrize("header", ["R_observed [%]", "R_observed_%", "R_observed (percent)"])
def test_percent_holds_for_sigma_too(write, header):
    data = dataset(write(LONG.replace("R_observed", header) + "NF270,Na,36,20,20,50,1\n"))
    assert (float(data.rejection[0, 0]), float(data.sigma[0, 0])) == pytest.approx((0.5, 0.01))


def test_tolerances(write):
    want = dataset(write(LONG + ROWS)).rejection
    second = "membrane,solute,Jv,c_Na,c_Cl,R_observed,sigma_R\n-,-,um/s,mM,mM,-,-\n"
    texts = {
        "byte-order mark": ("\ufeff" + LONG + ROWS, "utf-8"),
        "semicolon": ((LONG + ROWS).replace(",", ";"), "utf-8"),
        "tab": ((LONG + ROWS).replace(",", "\t"), "utf-8"),
        "windows lines, blanks, comments": (
            ("# note\n\n" + LONG + "\n# more, of it\n" + ROWS + ",,,,,,\n").replace("\n", "\r\n"),
            "utf-8",
        ),
        "quotes": (LONG + ROWS.replace("Na+", '"Na+"'), "utf-8"),
        "two header rows": (second + ROWS.replace(",36,", ",10,").replace(",72,", ",20,"), "utf-8"),
        "repeated row": (LONG + ROWS + ROWS, "utf-8"),
        "minus sign": (LONG + ROWS.replace("-0.25", "−0.25"), "utf-8"),
    }
    for name, (text, encoding) in texts.items():
        data = dataset(write(text, encoding))
        np.testing.assert_array_equal(data.rejection, want, err_msg=name)
        np.testing.assert_allclose(data.case.conditions.volume_flux, [1e-5, 2e-5], rtol=1e-12, err_msg=name)


def test_salts_by_charge_balance():
    assert salts()["MgCl2"] == {"Mg+2": 1, "Cl-": 2}
    assert salts()["Na2SO4"] == {"Na+": 2, "SO4-2": 1}
    assert salts()["Ca(NO3)2"] == {"Ca+2": 1, "NO3-": 2}
    assert {"NaCl", "MgSO4", "KCl", "LiCl", "CaCl2", "NaNO3", "K2SO4", "Li2SO4", "NH4Cl", "(NH4)2SO4"} <= set(salts())


BAD_CELLS = {
    "unknown solute": ("NF270,Sodum,36,20,20,0.5,", "solute", "'Sodum' is not known", "Na+"),
    "solute outside the feed": ("NF270,Mg,36,20,20,0.5,", "solute", "Mg+2 is not in the feed"),
    "not a number": ("NF270,Na,36,20,20,high,", "R_observed", "'high' is not a number"),
    "decimal comma": ('NF270,Na,36,20,20,"0,5",', "R_observed", "decimal comma is not accepted", "0.5"),
    "NaN": ("NF270,Na,36,20,20,NaN,", "R_observed", "missing value"),
    "infinite": ("NF270,Na,1e999,20,20,0.5,", "Jv [LMH]", "not a number"),
    "empty": ("NF270,Na,36,,20,0.5,", "c_Na [mM]", "missing value"),
    "above one": ("NF270,Na,36,20,20,50,", "R_observed", "50 is outside", "[%]"),
    "negative flux": ("NF270,Na,-36,20,20,0.5,", "Jv [LMH]", "-36 is outside (0, 36000) LMH"),
    "negative concentration": ("NF270,Na,36,20,-20,0.5,", "c_Cl [mM]", "-20 is outside"),
    "negative sigma": ("NF270,Na,36,20,20,0.5,-0.1", "sigma_R", "-0.1 is outside"),
    "charged feed": ("NF270,Na,36,20,19,0.5,", "c_Cl [mM]", "net charge of 1 mol/m3", "Write 20 here"),
    "contradiction": ("NF270,Na,36,20,20,0.6,", "R_observed", "0.6 here and 0.5 in line 2"),
    "two membranes, one no pore": ("NF270-SDEM,Na,40,20,20,0.6,", "membrane", "2 membranes", "no pore"),
    "too many cells": ("NF270,Na,36,20,20,0,5,0.1", "8", "8 cells, the header 7", "decimal comma"),
}


@pytest.mark.parametrize("case", BAD_CELLS)
def test_bad_cells_are_named(write, case):
    row, column, *words = BAD_CELLS[case]
    refused(write(LONG + "NF270,Na,36,20,20,0.5,\n\n" + row + "\n"), 4, column, *words)


BAD_HEADERS = {
    "flux without unit": ("Jv [LMH]", "Jv", "Jv", "no unit", "Jv [LMH]"),
    "unknown flux unit": ("Jv [LMH]", "Jv [gfd]", "Jv [gfd]", "'gfd' is not a unit of flux"),
    "concentration without unit": ("c_Na [mM]", "c_Na", "c_Na", "no unit", "c_Na [mol/m3]"),
    "ppm": ("c_Na [mM]", "c_Na_ppm", "c_Na_ppm", "mg/kg to some"),
    "unknown ion": ("c_Na [mM]", "c_Nq [mM]", "c_Nq [mM]", "'Nq' is not known", "Na"),
    "ion twice": ("c_Cl [mM]", "c_Na+ [mM]", "c_Na+ [mM]", "has a column already"),
    "column twice": ("sigma_R", "solute", "solute", "occurs twice"),
    "no solute": ("solute", "x", "solute", "missing"),
    "no flux": ("Jv [LMH]", "x", "Jv", "missing"),
    "no rejection": ("R_observed", "R", "R_observed", "missing", "R_real"),
    "two rejections": ("sigma_R", "R_real", "R_observed", "delete the other"),
}


@pytest.mark.parametrize("case", BAD_HEADERS)
def test_bad_headers_are_named(write, case):
    old, new, column, *words = BAD_HEADERS[case]
    refused(write("# note\n" + LONG.replace(old, new) + ROWS), 2, column, *words)


def test_no_composition(write):
    refused(write("membrane,solute,Jv [LMH],R_real\nNF270,Na,36,0.5\n"), 1, "c_<ion>", "c_Na [mM]")


def test_units_that_disagree(write):
    refused(write(LONG + "-,-,um/s,mM,mM,-,-\n" + ROWS), 1, "Jv [LMH]", "'LMH, um/s' is not a unit of flux")


def test_unknown_salt(write):
    refused(write(SALT + SALT_ROWS.replace("NaCl", "NaCI")), 2, "dominant_salt", "'NaCI' is not known", "NaCl")


def test_unknown_membrane(write):
    refused(write(LONG + ROWS.replace("NF270", "NF9")), 2, "membrane", "'NF9' has no record", "membrane=")
    assert len(dataset(write(LONG + ROWS.replace("NF270", "NF9")), membrane=jm.membrane("NF270"))) == 3


@pytest.mark.parametrize("text", ["", "\n\n", "# only a note\n"])
def test_empty_file(write, text):
    refused(write(text), 1, "solute", "empty")


def test_header_alone(write):
    refused(write(LONG), 2, "membrane", "no rows")


def test_not_text(write):
    for data in (b"PK\x03\x04\x00\x00", LONG.encode() + b"\xff\xfe", (LONG + ROWS).encode("utf-16")):
        with pytest.raises(jm.DataFileError, match=r"rejection\.csv, line \d, column unknown: this is not UTF-8 text"):
            dataset(write(data))


def test_no_file(tmp_path):
    with pytest.raises(jm.DataFileError) as caught:
        dataset(tmp_path / "none.csv")
    assert str(tmp_path / "none.csv") in str(caught.value)
    assert str(Path.cwd()) in str(caught.value)
    with pytest.raises(jm.DataFileError, match="directory"):
        dataset(tmp_path)


def test_measured_nf270(monkeypatch):
    path = measured_file()
    monkeypatch.setattr(jm, "solve", lambda *a, **k: pytest.fail("the loader solved a case"))
    data = dataset(path)
    values = np.asarray(data.rejection)[np.asarray(data.measured)]
    assert (len(data), data.kind, data.case.batch_shape) == (106, "real", (28,))
    assert (int((values < 0).sum()), round(float(values.min()), 2)) == (25, -1.39)
    assert np.isfinite(np.asarray(data.sigma)[np.asarray(data.measured)]).all()
    salts_of = [label.split()[0] for label in data.feed_group]
    counts = {s: int(np.asarray(data.measured)[[g == s for g in salts_of]].sum()) for s in dict.fromkeys(salts_of)}
    assert counts == {"NaCl": 21, "MgCl2": 26, "Na2SO4": 28, "MgSO4": 31}
    charge = np.asarray(data.case.feed.concentration) @ np.asarray(data.case.feed.species.charge)
    np.testing.assert_allclose(charge, 0.0, atol=1e-12)
    np.testing.assert_allclose(data.case.feed["Na+"][:7], 10.2, rtol=1e-12)


def test_a_feed_is_balanced_when_asked_to(write):
    """Analyses in mg/L are never neutral to 1e-6: refused with the line to type, or evened by one ion."""
    path = write("solute,Jv [LMH],c_Na [mg/L],c_Cl [mg/L],R_observed\nNa,36,460,709.5,0.5\nNa,72,460,709,0.6\n")
    message = refused(path, 2, "c_Na [mg/L]", "balance='Na+'")
    assert "net charge" in message
    data = dataset(path, jm.membrane("NF270"), balance="Cl-")
    feed = data.case.feed
    np.testing.assert_allclose(feed["Cl-"], feed["Na+"], rtol=1e-14)
    np.testing.assert_allclose(feed["Na+"], 460.0 / 22.98977, rtol=1e-5)
    with pytest.raises(jm.DataFileError, match="Balance with a cation"):
        dataset(write("solute,Jv [LMH],c_Na [mM],c_Cl [mM],c_SO4 [mM],R_observed\nNa,36,10,1,20,0.5\n"), balance="Cl-")


def test_more_than_all_in_percent(write):
    text = LONG.replace("R_observed,sigma_R", "R_observed [%],sigma_R [%]") + "NF270,Na,36,20,20,101,1\n"
    refused(write(text), 2, "R_observed [%]", "101 is outside", "more than 100 %")


def test_one_reading_twice(write):
    """Its error may stand beside either; two errors contradict."""
    again = "NF270,Na,36,20,20,0.5,0.09\n"
    assert dataset(write(LONG + "NF270,Na+,36,20,20,0.5,\n" + again)).sigma[0, 0] == 0.09
    refused(write(LONG + ROWS + again), 5, "R_observed", "0.5 +- 0.09 here and 0.5 +- 0.01 in line 2")


def test_several_membranes_in_one_file(write) -> None:
    """Each point is asked of the pore of its own record; splits leave one out; fits take one of them."""
    from jaxmem.surrogate.splits import held_out

    rows = "".join(f"{m},Na,{j},20,20,{r},0.01\n" for m, r in (("NF270", 0.3), ("NF90", 0.8)) for j in (20, 40, 60))
    with pytest.raises(jm.DataFileError, match=r"membrane=\{'NF90': jm.PoreMembrane"):
        jm.dataset(write(LONG + rows))
    tight = jm.PoreMembrane(0.4e-9, 2e-6, -20.0, 40.0)
    data = jm.dataset(write(LONG + rows), membrane={"NF90": tight})
    assert data.membrane_group == ("NF270",) * 3 + ("NF90",) * 3
    assert data.rejection.shape[0] == 6
    result = jm.solve(jm.DSPMDE(activity="ideal"), data.case)
    for name, wall, part in (("NF270", jm.membrane("NF270"), slice(0, 3)), ("NF90", tight, slice(3, 6))):
        alone = jm.solve(jm.DSPMDE(activity="ideal"), jm.Case(data.case[part].feed, wall, data.case[part].conditions))  # fmt: skip
        np.testing.assert_allclose(result.passage[part], alone.passage, rtol=1e-9)
        one = data.of(name)
        assert len(one) == 3
        found = jm.fit(jm.DSPMDE(activity="ideal"), one, jm.Free(charge_density=jm.Interval(-200.0, 100.0)), starts=2)
        assert np.isfinite(found.value).all()
    flux = np.asarray(data.case.conditions.volume_flux)
    folds = held_out("S5", data.feed_group, flux, membranes=data.membrane_group)
    assert [f.tolist() for f in folds] == [[True] * 3 + [False] * 3, [False] * 3 + [True] * 3]
    assert held_out("S2", data.feed_group, flux, membranes=data.membrane_group)[0].sum() == 4  # two of each ladder
    with pytest.raises(jm.JaxmemError, match="held out from itself"):
        held_out("S5", data.feed_group, flux)
    with pytest.raises(jm.UnknownNameError, match="NF270"):
        data.of("NF27")
    with pytest.raises(jm.DataFileError, match="one for all of them"):
        jm.dataset(write(LONG + rows), membrane=jm.membrane("NF270"))
