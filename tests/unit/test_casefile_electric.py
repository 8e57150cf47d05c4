"""Currents through ion-exchange membranes from the command line: curves, fits, and what is refused."""

from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

import jaxmem as jm
from jaxmem.casefile import read
from jaxmem.units import um

from .test_cli import call

GOOD = """
title = "a cation exchanger"
[feed]
"Na+" = "1 mM"
"Cl-" = "1 mM"
[membrane]
exchanges = "cations"
[conditions]
voltage = ["20 mV", "0.8 V", 5]
thickness = "20 um"
"""
INSIDE = GOOD.replace(
    'exchanges = "cations"',
    'exchanges = "anions"\ncharge_density = "10 mM"\nthickness = "50 um"\ndiffusion = 0.3',
).replace('["20 mV", "0.8 V", 5]', '"-0.2 V"')


def test_a_curve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    path = tmp_path / "cell.toml"
    path.write_text(GOOD)
    out, figure = tmp_path / "curve.csv", tmp_path / "curve.png"
    code, text = call(monkeypatch, capsys, "solve", str(path), "--csv", str(out), "--png", str(figure))
    assert code == 0, text
    assert "a cation exchanger" in text
    salt = jm.Mixture.from_concentration({"Na+": 1.0, "Cl-": 1.0})
    asked = jm.Case(salt, jm.IonExchangeMembrane("cations"), jm.Voltage(jnp.linspace(0.02, 0.8, 5), 20 * um))
    current = np.asarray(jm.solve(jm.NernstPlanckPoisson(), asked).current)
    assert f"{current[-1]:.4g}" in text
    column = out.read_text().splitlines()[0].split(",").index("current [A m-2]")
    written = [float(line.split(",")[column]) for line in out.read_text().splitlines()[1:]]
    assert np.allclose(sorted(set(written)), current, rtol=1e-6)
    assert figure.stat().st_size > 5000


def test_a_membrane_with_an_inside_and_a_current(tmp_path: Path) -> None:
    path = tmp_path / "cell.toml"
    path.write_text(INSIDE)
    result = read(path).solve()
    assert isinstance(result.case.membrane, jm.FixedChargeMembrane)
    assert bool(result.ok)
    assert float(result.current) < 0.0
    path.write_text(GOOD.replace('voltage = ["20 mV", "0.8 V", 5]', 'current = "0.05 mA/cm2"'))
    assert float(read(path).solve().current) == pytest.approx(0.5)


def test_the_layer_is_fitted_to_a_measured_curve(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    path, data, out = tmp_path / "cell.toml", tmp_path / "curve.csv", tmp_path / "fit.csv"
    path.write_text(GOOD.replace('["20 mV", "0.8 V", 5]', '"0.1 V"'))
    salt, volts = jm.Mixture.from_concentration({"Na+": 1.0, "Cl-": 1.0}), np.array([0.05, 0.1, 0.2, 0.4])
    truth = jm.Case(salt, jm.IonExchangeMembrane("cations"), jm.Voltage(jnp.asarray(volts), 33 * um))
    current = np.asarray(jm.solve(jm.NernstPlanckPoisson(), truth).current)
    rows = "".join(f"{v},{i:.8g},1\n" for v, i in zip(volts, current, strict=True))
    data.write_text(f"voltage [V],current [A/m2],sigma_current [%]\n{rows}")
    words = ("--case", str(path), "--free", "thickness=5..200 um", "--starts", "2", "--csv", str(out))
    code, text = call(monkeypatch, capsys, "fit", str(data), *words)
    assert code == 0, text
    assert float(out.read_text().splitlines()[1].split(",")[1]) == pytest.approx(33e-6, rel=1e-5)


BAD = {
    "no thickness": (GOOD.replace('thickness = "20 um"\n', ""), ("needs a thickness", 'thickness = "100 um"')),
    "both": (GOOD + 'current = "1 A/m2"\n', ("one of voltage and current",)),
    "kind": (GOOD.replace('"cations"', '"protons"'), ("exchanges = 'protons'", "cations or anions")),
    "unit": (GOOD.replace('"20 mV"', '"20 bar"'), ("'bar'", "mV")),
    "entry": (GOOD.replace("exchanges", 'pore_radius = "1 nm"\nexchanges'), ("'pore_radius'", "charge_density")),
    "model": ('model = "DSPMDE"\n' + GOOD, ("'DSPMDE'", "Leave the line out")),
    "three ions": (GOOD.replace('"Cl-" = "1 mM"', '"K+" = "1 mM"\n"Cl-" = "2 mM"'), ("one cation and one anion",)),
    "film": (GOOD + 'mass_transfer = "20 um/s"\n', ("'mass_transfer'", "thickness")),
}


@pytest.mark.parametrize("name", BAD)
def test_mistakes(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    text, words = BAD[name]
    (tmp_path / "cell.toml").write_text(text)
    code, said = call(monkeypatch, capsys, "solve", str(tmp_path / "cell.toml"))
    assert code == 2
    assert "Traceback" not in said
    for word in words:
        assert word in " ".join(said.split())


def test_one_value_is_one_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    path = tmp_path / "cell.toml"
    for one, expected in (('voltage = "0.4 V"', 0), ('current = "0.2 A/m2"', 0), ('current = "30 A/m2"', 1)):
        path.write_text(GOOD.replace('voltage = ["20 mV", "0.8 V", 5]', one))
        code, text = call(monkeypatch, capsys, "solve", str(path), "--csv", str(tmp_path / "one.csv"))
        assert code == expected, text
        assert "Traceback" not in text
        assert (tmp_path / "one.csv").exists()
    assert "failed" in text
