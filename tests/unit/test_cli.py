"""The command line: good files give tables and files, bad ones one message and exit code 2, never a traceback."""

import re
from pathlib import Path

import numpy as np
import pytest

import jaxmem as jm
import jaxmem.cli as cli
from jaxmem.casefile import read

GOOD = """
model = { name = "DSPMDE", activity = "ideal" }
title = "salt water"
[feed]
"Na+" = "460 mg/L"
"Cl-" = "709 mg/L"
balance = "Cl-"
temperature = "25 degC"
[membrane]
name = "NF270"
pore_radius = "0.45 nm"
[conditions]
flux = ["5 LMH", "100 LMH", 4]
"""


def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, *words: str) -> tuple[int, str]:
    """Exit code and everything printed."""
    monkeypatch.setattr("sys.argv", ["jaxmem", *words])
    status = 0
    try:
        cli.main()
    except SystemExit as stop:
        status = int(stop.code or 0)
    out = capsys.readouterr()
    return status, out.out + out.err


BAD = {
    "malformed": (GOOD.replace('name = "NF270"', "name = NF270"), ("case.toml", "line 10", "column 8")),
    "unknown unit": (GOOD.replace("0.45 nm", "0.45 nanoinch"), ("case.toml, line 11, column", "'nanoinch'", "1.5 nm")),
    "missing unit": (GOOD.replace('"0.45 nm"', "0.45"), ("0.45 has no unit", "0.45 nm")),
    "ppm": (GOOD.replace("460 mg/L", "460 ppm"), ("case.toml, line 5, column", "ppm is ambiguous", "460 mg/L")),
    "unknown membrane": (GOOD.replace("NF270", "NF27"), ("case.toml, line 10, column", "'NF27'", "NF270")),
    "unknown ion": (GOOD.replace('"Na+"', '"Nax+"'), ("case.toml, line 5, column", "'Nax+'", "Closest", "Na+")),
    "unknown model": (GOOD.replace("DSPMDE", "DSPM"), ("line 2, column", "'DSPM'", "DSPMDE")),
    "unknown option": (GOOD.replace("activity", "aktivity"), ("aktivity", "not known to DSPMDE", 'activity = "ideal"')),
    "unknown table": (GOOD + "[feeds]\n", ("'feeds'", "Closest: feed")),
    "no conditions": (GOOD.split("[conditions]")[0], ("[conditions] is missing", "Write [conditions]")),
    "flux and pressure": (GOOD + 'pressure = "8 bar"\n', ("either a flux or a pressure", "8 bar")),
    "bad range": (GOOD.replace(", 4]", "]"), ("is not a range", "from, to, how many")),
    "charged": (
        GOOD.replace('balance = "Cl-"\n', "").replace("709", "700"),
        ("line 4, column 1", "net charge", 'balance = "Cl-" under [feed]'),
    ),
    "decimal comma": (
        GOOD.replace("460 mg/L", "460,5 mg/L"),
        ("case.toml, line 5, column", "a point stands before decimals"),
    ),
    "equivalents": (GOOD.replace("460 mg/L", "20 meq/L"), ("'meq/L' is not known", "The number belongs to its unit")),
    "negative amount": (GOOD.replace("460 mg/L", "-460 mg/L"), ("line 5, column 9", "'-460 mg/L' is no amount")),
    "too much": (
        GOOD.replace("460 mg/L", "460000 mg/L"),
        ("line 5, column 9", "more than dissolves", '"Na+" = "460 mg/L"'),
    ),
    "unit of no unit": (
        GOOD.replace('pore_radius = "0.45 nm"', 'pore_permittivity = "41 F/m"'),
        ("has no unit. Write 41.",),
    ),
    "too many points": (GOOD.replace(", 4]", ", 1000000000000]"), ("1,000,000,000,000 values", "1,000,000 at most")),
    "a pore for permeances": (
        re.sub("(?m)^model = .*$", 'model = "SDEM"', GOOD),
        ("'SDEM', which needs a permeance for each ion", 'name = "NF270-SDEM"'),
    ),
    "radius of the ion": (GOOD.replace("0.45 nm", "0.1 nm"), ("case.toml", "Na+", "0.184 nm", "must be smaller")),
    "one ion twice": (GOOD.replace('"Cl-" =', '"sodium" = "1 mg/L"\n"Cl-" ='), ("'sodium' is Na+", "once", "line 6")),
    "beside a named feed": (GOOD.replace('"Na+" = "460 mg/L"', 'name = "seawater"'), ("'Cl-' cannot stand beside",)),
    "half a membrane": (GOOD.replace('name = "NF270"', ""), ("thickness_over_porosity", 'name = "NF270"')),
    "permeance is a number": (GOOD.replace('name = "NF270"', "permeance = 3"), ("[permeance]",)),
    "model is a number": ("model = 3\n" + GOOD.split("\n", 2)[2], ("'model' is 3", 'model = "DSPMDE"')),
    "title is a number": (GOOD.replace('"salt water"', "3"), ("'title' is 3", "in quotes")),
    "tolerance is text": (GOOD.replace('activity = "ideal"', 'tolerance = "x"'), ("tolerance = 'x'", "line 2")),
}


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize("name", BAD)
def test_bad_file(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    text, words = BAD[name]
    file = tmp_path / "case.toml"
    file.write_text(text)
    status, out = call(monkeypatch, capsys, "solve", str(file))
    assert status == 2, out
    assert "Traceback" not in out
    assert "error:" in out
    for word in words:
        assert word in out, f"{word!r} is missing in: {out}"


def test_lanes_without_a_solution_give_exit_code_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """Pure water: nothing to reject."""
    file = tmp_path / "case.toml"
    text = GOOD.replace('"0.45 nm"', '"0.45 nm"\ncharge_density = "-50 mol/m3"').replace('"460 mg/L"', '"0 mg/L"')
    file.write_text(text.replace('"709 mg/L"', '"0 mg/L"'))
    status, out = call(monkeypatch, capsys, "solve", str(file))
    assert status == 1, out
    assert "failed" in out
    assert "no solute at all" in out


@pytest.mark.parametrize("name", ["out.xyz", "."])
def test_outputs_are_checked_before_the_solve(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    file = tmp_path / "case.toml"
    file.write_text(GOOD)
    status, out = call(monkeypatch, capsys, "solve", str(file), "--png", str(tmp_path / name))
    assert status == 2
    assert "Traceback" not in out
    assert "LMH" not in out


def test_missing_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    status, out = call(monkeypatch, capsys, "solve", str(tmp_path / "none.toml"))
    assert status == 2
    assert "no such file" in out


def test_unknown_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    status, out = call(monkeypatch, capsys, "sovle")
    assert status == 2
    assert "Traceback" not in out
    assert "jaxmem --help" in out


def test_unknown_paper(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    status, out = call(monkeypatch, capsys, "reproduce", "xx")
    assert status == 2
    assert "nf" in out


def test_good_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    pd = pytest.importorskip("pandas")
    file = tmp_path / "case.toml"
    file.write_text(GOOD)
    csv, png = (tmp_path / f"out.{end}" for end in ("csv", "png"))
    words = ("solve", str(file), "--csv", str(csv), "--png", str(png))
    status, out = call(monkeypatch, capsys, *words)
    assert status == 0, out
    assert "salt water" in out
    assert "Na" in out
    table = pd.read_csv(csv)
    assert len(table) == 4 * 2
    r = np.asarray(table.pivot_table(index="batch_0", columns="species", values="observed_rejection"))
    assert (np.diff(r[:, 0]) > 0.0).all()  # no film: more flux, more rejection
    assert np.allclose(r[:, 0], r[:, 1], atol=1e-10)  # one salt, one rejection
    assert png.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert png.stat().st_size > 5000


def test_netcdf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    xr = pytest.importorskip("xarray")
    file, netcdf = tmp_path / "case.toml", tmp_path / "out.nc"
    file.write_text(GOOD)
    status, out = call(monkeypatch, capsys, "solve", str(file), "--netcdf", str(netcdf))
    assert status == 0, out
    with xr.open_dataset(netcdf, engine="h5netcdf") as data:
        assert data["observed_rejection"].shape == (4, 2)
        assert data["volume_flux"].attrs["units"] == "m s-1"
        assert np.allclose(data["volume_flux"], np.linspace(5, 100, 4) / 3.6e6)


def test_units() -> None:
    parse = jm.units.parse
    assert parse("8 bar", "pressure") == 8e5
    assert parse("20 LMH", "flux") == pytest.approx(20e-3 / 3600, rel=1e-15)
    assert parse(" 20LMH ", "flux") == parse("2e1 L/m2/h", "flux")
    assert parse("0.45 nm", "length") == pytest.approx(4.5e-10)
    assert parse("25 degC", "temperature") == pytest.approx(298.15)
    assert parse("-3 °C", "temperature") == pytest.approx(270.15)
    assert parse("298.15 K", "temperature") == 298.15
    assert parse("460 mg/L", "mass concentration") == pytest.approx(0.46)
    assert parse("0.5 M", "concentration") == 500.0
    assert parse("-27 mM", "concentration") == -27.0
    assert parse(41.3, "permittivity") == 41.3
    assert parse("3.5 %", "mass fraction") == pytest.approx(0.035)


@pytest.mark.parametrize(
    ("text", "dimension", "word"),
    [
        (8, "pressure", 'Write "8 bar"'),
        ("8", "pressure", "8 bar"),
        ("8 ppm", "mass concentration", "ambiguous"),
        ("eight bar", "pressure", "not a number"),
        ("8 baar", "pressure", "Closest: bar"),
        (True, "pressure", "not a number"),
    ],
)
def test_units_refused(text: object, dimension: str, word: str) -> None:
    with pytest.raises(jm.JaxmemError) as caught:
        jm.units.parse(text, dimension)
    assert word in str(caught.value)


VESSEL = """
title = "six in a row"
[feed]
"Na+" = "12.6 g/L"
"Cl-" = "19.4 g/L"
balance = "Cl-"
[membrane]
element = "SW30HRLE-400"
elements = 6
[conditions]
pressure = "60 bar"
flow = "9 m3/h"
energy_recovery = "95 %"
"""

BAD_VESSEL = {
    "unknown element": (VESSEL.replace("HRLE-400", "HRLE-40"), ("'SW30HRLE-40'", "Closest", "SW30HRLE-4040")),
    "no flow": (VESSEL.replace('flow = "9 m3/h"\n', ""), ("needs a flow", 'flow = "9 m3/h"')),
    "two impositions": (VESSEL + 'recovery = "40 %"\n', ("one of pressure, recovery and flux",)),
    "unknown entry": (VESSEL + 'presure = "1 bar"\n', ("'presure'", "Closest: pressure")),
    "no unit": (VESSEL.replace("60 bar", "60"), ("has no unit", '"60 bar"')),
    "another model": ('model = "DSPMDE"\n' + VESSEL, ("is not for this element", "SpiralWound")),
    "half a membrane": (VESSEL.replace("elements = 6", 'water_permeance = "1 LMH/bar"'), ("together",)),
    "nothing named": (
        VESSEL.replace('element = "SW30HRLE-400"', 'area = "37 m2"'),
        ("neither an element nor a length",),
    ),
    "no element": (
        VESSEL.replace("elements = 6", "elements = 0"),
        ("not a number of elements", "elements = 6"),
    ),
    "recovery beyond": (VESSEL.replace('pressure = "60 bar"', 'recovery = "120 %"'), ("1.2", "outside", "0.99")),
    "too warm": (VESSEL.replace("[membrane]", 'temperature = "90 degC"\n[membrane]'), ("363.15", "outside", "298.15")),
}


@pytest.mark.parametrize("name", BAD_VESSEL)
def test_bad_vessel(name, monkeypatch, capsys, tmp_path):
    text, words = BAD_VESSEL[name]
    (tmp_path / "case.toml").write_text(text, encoding="utf-8")
    status, said = call(monkeypatch, capsys, "solve", str(tmp_path / "case.toml"))
    assert status == 2
    flat = " ".join(said.split())
    assert "Traceback" not in said
    for word in words:
        assert word in flat


def test_vessel(monkeypatch, capsys, tmp_path):
    (tmp_path / "case.toml").write_text(VESSEL, encoding="utf-8")
    files = [tmp_path / name for name in ("out.csv", "out.nc", "out.png")]
    names = [
        word for file in files for word in (f"--{dict(csv='csv', nc='netcdf', png='png')[file.suffix[1:]]}", str(file))
    ]
    status, said = call(monkeypatch, capsys, "solve", str(tmp_path / "case.toml"), *names)
    assert status == 0
    assert "six in a row" in said
    assert "kWh/m3" in said
    assert all(file.stat().st_size > 0 for file in files)
    assert "element_flux [m s-1]" in files[0].read_text(encoding="utf-8")


def test_vessel_that_tells_ions_apart(monkeypatch, capsys, tmp_path):
    text = re.sub(r"element = .*", 'name = "NF270"\narea = "37 m2"\nlength = "0.96 m"', VESSEL)
    text = text.replace("60 bar", "10 bar").replace("elements = 6", "elements = 2")
    (tmp_path / "case.toml").write_text(text, encoding="utf-8")
    status, said = call(monkeypatch, capsys, "solve", str(tmp_path / "case.toml"), "--csv", str(tmp_path / "out.csv"))
    assert status == 0
    assert "DSPM-DE" in said
    assert "Na⁺" in said
    assert "element_rejection" in (tmp_path / "out.csv").read_text(encoding="utf-8")


def test_vessel_that_cannot_work(monkeypatch, capsys, tmp_path):
    (tmp_path / "case.toml").write_text(VESSEL.replace("60 bar", "20 bar"), encoding="utf-8")
    status, said = call(monkeypatch, capsys, "solve", str(tmp_path / "case.toml"))
    assert status == 1
    assert "below the osmotic pressure" in " ".join(said.split())


def _rejections(path: Path, rejection: tuple[float, ...] = (0.35, 0.5, 0.62, 0.7)) -> Path:
    """Four points of NaCl."""
    rows = [f"Na+,{j},20,20,{r},0.01" for j, r in zip((5, 10, 20, 40), rejection, strict=True)]
    path.write_text("\n".join(["solute,Jv [um/s],c_Na [mM],c_Cl [mM],R_real,sigma_R", *rows]) + "\n")
    return path


def test_fit_prints_its_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    data, out = _rejections(tmp_path / "r.csv"), tmp_path / "fit.csv"
    page = tmp_path / "fit.html"
    words = ("--model", "sdem", "--starts", "2", "--csv", str(out), "--report", str(page))
    code, text = call(monkeypatch, capsys, "fit", str(data), *words)
    assert code == 0
    assert page.read_text().count("data:image/png") == 2
    assert "permeance Na+" in text
    assert "Not determined by these data" in text  # one salt, two permeances
    lines = out.read_text().splitlines()
    assert lines[0] == "quantity,value,standard_error,unit"
    assert 1e-8 < float(lines[1].split(",")[1]) < 1e-2


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--model", "dspm"), "dspmde"),
        (("--membrane", "NF720"), "NF270"),
        (("--membrane", "NF270", "--model", "sdem"), "Leave --membrane out"),
        (("--membrane", "NF270", "--free", "pore_radios"), "pore_radius"),
        (("--membrane", "NF270", "--free", "pore_radius=0.4 nm"), "two bounds"),
        (("--membrane", "NF270", "--free", "pore_radius=0.4..0.8 bar"), "nm"),
        (
            ("--membrane", "NF270", "--free", "pore_radius=0.8..0.4 nm"),
            "pore_radius=0.8..0.4 nm: no number lies between",
        ),
        (("--membrane", "NF270", "--free", ","), "names nothing"),
        (("--membrane", "NF270", "--csv", "/nowhere/at/all/x.csv"), "mkdir"),
        (("--membrane", "NF270", "--report", "fit.pdf"), "fit.html"),
        ((), "membrane"),
    ],
)
def test_fit_refuses(words, told, tmp_path, monkeypatch, capsys) -> None:  # type: ignore[no-untyped-def]
    code, text = call(monkeypatch, capsys, "fit", str(_rejections(tmp_path / "r.csv")), *words)
    assert code == 2
    assert told in text


SWEPT = """
[feed]
"Na+" = "20 mM"
"Cl-" = "20 mM"
[membrane]
permeance = { "Na+" = "20 um/s", "Cl-" = "2 um/s" }
[conditions]
flux = ["5 LMH", "50 LMH", 3]
"""


def test_sweep_writes_a_study_and_goes_on(tmp_path, monkeypatch, capsys) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "case.toml").write_text('model = "SDEM"\n' + SWEPT)
    case, store = str(tmp_path / "case.toml"), str(tmp_path / "s.zarr")
    asked = ("sweep", case, "--store", store, "--free", "permeance=1e-7..1e-4 m/s", "--points", "8", "--chunk", "6")
    code, text = call(monkeypatch, capsys, *asked, "--dry-run")
    assert code == 0
    assert "24 lanes in 4 chunks, 24 to compute" in text
    assert not (tmp_path / "s.zarr").exists()
    code, text = call(monkeypatch, capsys, *asked, "--shard", "1/2")
    assert code == 0
    assert "12 of 24 lanes done" in text
    code, text = call(monkeypatch, capsys, *asked)
    assert code == 0
    assert "24 of 24 lanes done" in text
    assert "24 x successful" in text
    code, text = call(monkeypatch, capsys, *asked, "--seed", "1")
    assert code == 2
    assert "another study" in text


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--free", "permeanse"), "permeance"),
        (("--free", "permeance=1e-7..1e-4 m/s", "--design", "soboll"), "sobol"),
        (("--free", "permeance=1e-7..1e-4 m/s", "--points", "many"), "--points 1024"),
        (("--free", "permeance=1e-7..1e-4 m/s", "--points", "100"), "Sobol(128)"),
        (("--free", "permeance=1e-7..1e-4 m/s", "--points", "8x8"), "--design grid"),
        (("--free", "permeance=1e-7..1e-4 m/s", "--shard", "2"), "--shard 0/4"),
        (("--free", "permeance=1e-7..1e-4 m/s", "--shard", "4/4"), "first of four"),
        (("--store", "/nowhere/at/all/s.zarr"), "mkdir"),
    ],
)
def test_sweep_refuses(words, told, tmp_path, monkeypatch, capsys) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "case.toml").write_text('model = "SDEM"\n' + SWEPT)
    given = () if "--store" in words else ("--store", str(tmp_path / "s.zarr"))
    code, text = call(monkeypatch, capsys, "sweep", str(tmp_path / "case.toml"), *given, *words)
    assert code == 2
    assert told in text
    assert not (tmp_path / "s.zarr").exists()


def test_units_in_other_spellings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """What people write, without the capitals of the tables; and permeances need no model."""
    text = """
[feed]
"Na+" = "20 mmol/l"
"Cl-" = "709 mg/l"
balance = "Cl-"
[membrane]
name = "NF270-SDEM"
[conditions]
flux = "20 l m^-2 h^-1"
"""
    (tmp_path / "case.toml").write_text(text, encoding="utf-8")
    status, said = call(monkeypatch, capsys, "solve", str(tmp_path / "case.toml"))
    assert status == 0, said
    assert "SDEM (no film)" in " ".join(said.split())


def test_mass_fractions_of_a_case_file(tmp_path: Path) -> None:
    """Per kilogram of solution, as ``Mixture.from_mass_fraction`` takes them: 2 % more than at 1000 kg/m3 in seawater."""
    from jaxmem.casefile import read

    (tmp_path / "sea.toml").write_text(
        '[feed]\n"Na+" = "10.79 g/kg"\n"Cl-" = "1.935 wt%"\nbalance = "Cl-"\n[membrane]\nname = "NF270"\n[conditions]\nflux = "20 LMH"\n'
    )
    ours = read(tmp_path / "sea.toml").case.feed
    theirs = jm.Mixture.from_mass_fraction({"Na+": 0.01079, "Cl-": 0.01935}, balance="Cl-")
    assert np.allclose(ours.concentration, theirs.concentration, rtol=1e-12)
    assert 478.0 < float(ours["Na+"]) < 481.0


def test_a_record_of_permeances_takes_a_water_permeance(tmp_path: Path) -> None:
    (tmp_path / "case.toml").write_text(
        '[feed]\n"Na+" = "10 mM"\n"Cl-" = "10 mM"\n[membrane]\nname = "NF270-SDEM"\nwater_permeance = "12 LMH/bar"\n[conditions]\npressure = "6 bar"\n'
    )
    result = read(tmp_path / "case.toml").solve()
    assert bool(result.ok)
    np.testing.assert_allclose(
        result.volume_flux, 12 * jm.units.LMH_per_bar * (result.pressure - result.osmotic_difference), rtol=1e-6
    )
