"""A fit as a file: JSON for programs, HTML to read."""

import base64
import html
import io
import json
from pathlib import Path
from typing import Any

from .._config import VERSION
from .._errors import DataFileError

SCHEMA = 3
_STYLE = "body{font:15px/1.5 sans-serif;max-width:46em;margin:2em auto;color:#222}td,th{padding:.2em .9em;text-align:right}td:first-child,th:first-child{text-align:left}th{border-bottom:1px solid #999}img{max-width:100%}"


def record(found: Any) -> dict[str, Any]:
    """Everything that a program may ask of a fit, as plain numbers in SI."""
    numbers = [
        {"label": label, "value": float(value), "standard_error": float(error), "interval_95": list(found.interval(label)), "unit": unit}
        for label, value, error, unit in zip(found.labels, found.value, found.error, found.units, strict=True)
    ]  # fmt: skip
    data = found.data
    return {
        "schema": SCHEMA,
        "jaxmem": VERSION,
        "model": found.model.title(),
        "numbers": numbers,
        "covariance": found.covariance.tolist(),
        "measurements": found.points,
        "misfit": found.misfit,
        "scatter_of_the_noise_model": found.scatter_known,
        "converged": found.converged,
        "starts": len(found.minima.cost),
        "starts_that_agree": found.agreeing,
        "not_determined": found.loose(),
        "singular_values": found.singular_values.tolist(),
        "directions": found.directions.tolist(),
        "at_their_bounds": found.at_bounds(),
        "data": {
            "measured": list(data.quantities),
            "source": getattr(data, "source", ""),
            "doi": getattr(data, "doi", ""),
        },
    }


def save(found: Any, path: Path) -> Path:
    """Write the report; the ending says which."""
    if not path.parent.is_dir():
        raise DataFileError(f"{path}: there is no folder {path.parent}. Type: mkdir -p {path.parent}")
    if path.suffix not in (".json", ".html"):
        raise DataFileError(f"{path}: reports end in .json or .html. Write {path.with_suffix('.html').name!r}.")
    text = json.dumps(record(found), indent=1, allow_nan=False) + "\n" if path.suffix == ".json" else page(found)
    path.write_text(text, encoding="utf-8")
    return path


def page(found: Any) -> str:
    """One HTML page that needs no other file."""
    what, rows = record(found), []
    for n in what["numbers"]:
        low, high = n["interval_95"]
        unit = "" if n["unit"] == "1" else n["unit"]
        cells = (n["label"], f"{n['value']:.4g}", f"{n['standard_error']:.2g}", f"{low:.4g} to {high:.4g}", unit)
        rows.append("<tr>" + "".join(f"<td>{html.escape(c)}</td>" for c in cells) + "</tr>")
    open_ = [f"Not determined by these data: {x}" for x in what["not_determined"]]
    if what["scatter_of_the_noise_model"]:
        open_.append("Too few measurements to tell their scatter: errors are those of the noise model")
    if not what["converged"]:
        open_.insert(0, "The best start did not come to a minimum: numbers and errors are preliminary")
    open_ += [f"At its bound: {x}; its error means nothing" for x in what["at_their_bounds"]]
    verdict = open_ or ["The data determine every number."]
    directions = []
    for size, direction in zip(what["singular_values"], what["directions"], strict=True):
        parts = [i for i in sorted(range(len(direction)), key=lambda i: -abs(direction[i])) if abs(direction[i]) > 0.1]
        mix = " ".join(f"{direction[i]:+.2f} {what['numbers'][i]['label']}" for i in parts)
        directions.append(f"<tr><td>{html.escape(mix)}</td><td>{1.0 / max(size, 1e-12):.2g}</td></tr>")
    figures = (("Computed against measured values", found.plot.parity), ("Residuals", found.plot.residuals))
    source = " ".join(x for x in (what["data"]["source"], what["data"]["doi"]) if x)
    return "\n".join([
        f"<!doctype html><html lang='en'><meta charset='utf-8'><title>Fit of {html.escape(what['model'])}</title><style>{_STYLE}</style>",
        f"<h1>Fit of {html.escape(what['model'])}</h1>",
        f"<p>{what['measurements']} {html.escape(found.data.title)}, misfit {what['misfit']:.3g} standard deviations, {what['starts_that_agree']} of {what['starts']} starts agree. {html.escape(source)}</p>",
        "<table><tr><th>number</th><th>value</th><th>standard error</th><th>95 %, linearised</th><th>unit</th></tr>", *rows, "</table>",
        "<ul>", *(f"<li>{html.escape(x)}</li>" for x in verdict), "</ul>",
        "<p>What the data tell apart, best first: directions of the whitened Jacobian in the unbounded numbers, and the standard error along each (one over the singular value).</p>",
        "<table><tr><th>combination</th><th>standard error</th></tr>", *directions, "</table>",
        *(_image(draw(q), f"{text} of {q}") for q in found.data.quantities for text, draw in figures),
        f"<p>jaxmem {VERSION}</p></html>", "",
    ])  # fmt: skip


def _image(axes: Any, text: str) -> str:
    """A figure inside of the page."""
    from ..plot.style import pyplot

    buffer = io.BytesIO()
    axes.figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    pyplot().close(axes.figure)
    return f"<img alt='{text}' src='data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}'>"
