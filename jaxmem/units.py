"""Units as floats in SI: ``20 * LMH`` is a flux in m/s, ``0.5 * nm`` a radius in m, ``x / bar`` a pressure in bar.

jaxmem is SI inside. "ppm" is missing on purpose: it is mg/kg to some and mg/L to others.
"""

import re

from ._errors import JaxmemError, unknown

m, cm, mm, um, nm, angstrom = 1.0, 1e-2, 1e-3, 1e-6, 1e-9, 1e-10
kg, g, mg, ug = 1.0, 1e-3, 1e-6, 1e-9
L, mL = 1e-3, 1e-6
s, minute, hour, day = 1.0, 60.0, 3600.0, 86400.0
Pa, kPa, MPa, bar, atm, psi = 1.0, 1e3, 1e6, 1e5, 101325.0, 6894.757293168361
mol, mmol = 1.0, 1e-3
molar = mol / L  # mol/m3 per mol/L
mM = mmol / L
mg_per_L = mg / L
LMH = L / hour  # litre per square metre and hour, as m/s
LMH_per_bar = LMH / bar
um_per_s = um / s
m3_per_h, m3_per_day = 1.0 / hour, 1.0 / day
mV, V = 1e-3, 1.0

DIMENSIONS: dict[str, dict[str, float]] = {  # the first unit of each is the one that messages suggest
    "length": {"nm": nm, "um": um, "µm": um, "A": angstrom, "angstrom": angstrom, "mm": mm, "cm": cm, "m": m},
    "flux": {"LMH": LMH, "L/m2/h": LMH, "um/s": um, "µm/s": um, "m/s": 1.0, "cm/s": cm, "cm/h": cm / hour},
    "pressure": {"bar": bar, "Pa": Pa, "kPa": kPa, "MPa": MPa, "atm": atm, "psi": psi},
    "concentration": {"mol/m3": 1.0, "mM": 1.0, "mmol/L": 1.0, "M": 1e3, "mol/L": 1e3, "uM": 1e-3},
    "mass concentration": {"mg/L": 1e-3, "g/L": 1.0, "kg/m3": 1.0, "ug/L": 1e-6},
    "mass fraction": {"mg/kg": 1e-6, "g/kg": 1e-3, "kg/kg": 1.0, "%": 1e-2, "wt%": 1e-2},
    "temperature": {"degC": 1.0, "°C": 1.0, "C": 1.0, "K": 1.0},
    "permittivity": {"": 1.0},
    "flow": {"m3/h": 1.0 / hour, "m3/day": 1.0 / day, "L/min": L / minute, "L/h": L / hour, "m3/s": 1.0},
    "area": {"m2": 1.0, "ft2": 0.09290304},
    "fraction": {"%": 1e-2, "": 1.0},
    "current density": {"A/m2": 1.0, "mA/cm2": 10.0, "A/cm2": 1e4},
    "energy": {"kWh/m3": 3.6e6, "J/m3": 1.0},
    "voltage": {"V": 1.0, "mV": mV},
    "permeance": {"LMH/bar": LMH_per_bar, "L/m2/h/bar": LMH_per_bar, "m/s/Pa": 1.0},
}
_QUANTITY = re.compile(r"^\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*(.*?)\s*$")
_SPELLINGS = {
    "lmh": "LMH", "l/m2/h": "LMH", "L/m2h": "LMH", "l/m2h": "LMH", "L/(m2h)": "LMH", "l/(m2h)": "LMH", "Lm-2h-1": "LMH", "lm-2h-1": "LMH",
    "um/s": "um/s", "ums-1": "um/s", "ms-1": "m/s", "m3/d": "m3/day", "m3h-1": "m3/h", "Bar": "bar", "bars": "bar", "mpa": "MPa", "kpa": "kPa",
    "pa": "Pa", "mg/l": "mg/L", "g/l": "g/L", "ug/l": "ug/L", "mmol/l": "mmol/L", "mol/l": "mol/L", "molm-3": "mol/m3", "mgL-1": "mg/L", "gL-1": "g/L",
    "mmolL-1": "mmol/L", "molL-1": "mol/L", "kgm-3": "kg/m3", "percent": "%", "pct": "%", "lmh/bar": "LMH/bar", "LMHbar-1": "LMH/bar",
    "l/m2/h/bar": "LMH/bar", "Lm-2h-1bar-1": "LMH/bar", "l/h": "L/h", "l/min": "L/min", "degc": "degC", "celsius": "degC", "Celsius": "degC",
    "kwh/m3": "kWh/m3",
}  # fmt: skip


def spelled(unit: str) -> str:
    """A unit in one of its usual spellings, as the tables here have it: ``"L m^-2 h^-1"`` and ``"lmh"`` are LMH."""
    plain = unit.translate(
        str.maketrans({"µ": "u", "μ": "u", "²": "2", "³": "3", "⁻": "-", "¹": "1", "·": "", "^": "", " ": ""})
    )
    return _SPELLINGS.get(plain, plain)


def parse(text: str | float | int, dimension: str) -> float:
    """A quantity as people write it, ``"8 bar"`` or ``"20 LMH"``, in SI. A bare number is refused where a unit is needed."""
    known = DIMENSIONS[dimension]
    match, bare = _QUANTITY.match(str(text)), isinstance(text, int | float) and not isinstance(text, bool)
    if bare and "" in known:
        return float(text)
    if bare or (match is not None and match[2] == "" and "" not in known):
        raise JaxmemError(
            f'{text!r} has no unit. A {dimension} needs one of {", ".join(known)}. Write "{text} {next(iter(known))}".'
        )
    if match is None:
        raise JaxmemError(f'{text!r} is not a number with a unit. A {dimension} reads like "1.5 {next(iter(known))}".')
    number, unit = float(match[1]), match[2] if match[2] in known else spelled(match[2])
    if re.match(r"[\d,.'’]", match[2]):
        raise JaxmemError(
            f"{text!r} is not a number with a unit: a point stands before decimals, and nothing between thousands. A {dimension} reads like "
            f'"1234.5 {next(iter(known))}".'
        )
    if unit == "ppm":
        raise JaxmemError(f'{text!r}: ppm is ambiguous (mg/kg or mg/L). Write "{match[1]} mg/L" or "{match[1]} mg/kg".')
    if unit not in known:
        names = [name for name in known if name]
        if not names:
            raise JaxmemError(f"{text!r}: a {dimension} has no unit. Write {match[1]}.")
        raise unknown(
            f"Unit of {dimension}",
            match[2],
            names,
            f'The number belongs to its unit: write for example "1.5 {names[0]}".',
        )
    offset = 273.15 if dimension == "temperature" and unit != "K" else 0.0
    return number * known[unit] + offset
