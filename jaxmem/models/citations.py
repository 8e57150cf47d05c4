"""Where the equations and numbers of an answer come from."""

from typing import Any

from ..case import modules
from ..chemistry.species import records
from ..membranes.provenance import Provenance

_LAWS = tuple(f"jaxmem.membranes.{x}" for x in ("hindrance", "exclusion", "charge", "friction", "polarisation"))


def citations(result: Any) -> list[str]:
    """The sources of the model, the membrane with its closures, and the species that a result used."""
    lines = [f"{result.model.title()}: {s}" for s in result.model.sources()]
    parts = modules(result.case.membrane)
    for provenance in dict.fromkeys(part for part in parts if isinstance(part, Provenance)):
        warning = f" ({provenance.warning})" if provenance.warning else ""
        lines.append(f"membrane {provenance.name}: {provenance.source}{warning}")
    for law in dict.fromkeys(type(part) for part in parts if type(part).__module__ in _LAWS):
        lines.append(f"{law.__name__}: {' '.join((law.__doc__ or '').split())}")
    for name in result.case.feed.species.names:
        source = records().get(name, {}).get("source", {})
        for quantity, text in source.items():
            lines.append(f"{name} {quantity}: {text}")
    return lines
