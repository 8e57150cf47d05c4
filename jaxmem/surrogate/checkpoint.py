"""Trained models as files: a line, the length of a JSON header, SHA-256 of all that follows, the header, and the arrays. Nothing in it is executed."""

import hashlib
import json
import math
import os
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._config import VERSION
from .._errors import DataFileError, JaxmemError
from ..case import Case, modules
from ..models.solve import solve
from .described import described, rebuilt
from .members import Ensemble
from .neural_ode import AttentionNeuralODE
from .range import Range
from .regression import Domain, Networks, Scaler
from .train import Trained
from .vortices import INPUTS, TARGETS, VortexNetworks
from .waters import Seen

_MAGIC, _SCHEMA, _MOST_HEADER = b"jaxmem model\n", 1, 1 << 20
_DTYPES = ("float32", "float64", "bool")


def _networks(net: Networks) -> dict[str, Any]:
    weights = net.members.layers
    return {
        "inputs": weights[0].weight.shape[-1], "width": weights[0].weight.shape[-2], "depth": len(weights) - 1,
        "members": weights[0].weight.shape[0], "points": net.domain.points.shape[0],
    }  # fmt: skip


def _blank_networks(s: dict[str, int]) -> Networks:
    make = lambda k: eqx.nn.MLP(s["inputs"], "scalar", s["width"], s["depth"], jax.nn.silu, dtype=jnp.float32, key=k)
    members = eqx.filter_vmap(make)(jax.random.split(jax.random.key(0), s["members"]))
    zeros, zero = jnp.zeros(s["inputs"]), jnp.zeros(())
    domain = Domain(zeros, zeros, jnp.zeros((s["points"], s["inputs"])), zero)
    return Networks(members, Scaler(zeros, zeros), Scaler(zero, zero), domain, zero, zero)


def _range(net: Networks, names: tuple[str, ...]) -> dict[str, list[float]]:
    low, high = (np.asarray(net.inputs.back(x)).tolist() for x in (net.domain.low, net.domain.high))
    return {name: [a, b] for name, a, b in zip(names, low, high, strict=True)}


def _vortices(model: VortexNetworks) -> tuple[dict, dict]:
    structure = {t: _networks(getattr(model, t)) for t in TARGETS} | {"cells": model.rest.cells}
    return structure, _range(model.excess, (*INPUTS, "V"))


def _blank_vortices(s: dict[str, Any]) -> VortexNetworks:
    blank = VortexNetworks(**{t: _blank_networks(s[t]) for t in TARGETS})
    return eqx.tree_at(lambda m: m.rest, blank, type(blank.rest)(s["cells"]))


class Learned(NamedTuple):
    """What ``jm.save(trained, path)`` kept of a training: pass ``membrane`` to a Case, ``model`` to ``jm.solve``."""

    model: Any
    membrane: Any

    def answer(self, case: Case | None = None) -> Any:
        """The Result for the feeds and conditions of a case."""
        if case is None:
            raise JaxmemError("The measurements of this training are not in its file. Write predict(output, case).")
        return solve(self.model, Case(case.feed, self.membrane, case.conditions), throw=False)


def _domain(kept: Any) -> dict[str, Any]:
    """What the networks of a model and a membrane were trained on, as they know it."""
    numbers = lambda x: [None if not np.isfinite(v) else float(v) for v in np.asarray(x).reshape(-1)]
    found: dict[str, Any] = {}
    for part in modules(kept):
        if isinstance(part, Range) and part.ions.shape[0]:
            found = {
                "features": numbers(part.features),
                "ions": numbers(part.ions),
                "flux": numbers(part.flux),
                **found,
            }
        if isinstance(part, Seen) and part.known:
            found = {**part.summary(), **found}
    return found


def save(model: Any, path: str | Path, notes: dict[str, Any] | None = None) -> None:
    """Write a model of jaxmem, a membrane with its closures, or what ``jm.train`` returned: structure, domain of the training, arrays.

    ``jm.load`` gives the same back; of a training, ``model, membrane = jm.load(path)``, of an ensemble one whose ``predict`` asks for a case. ``notes``: what
    it was made from.
    """
    arrays: list[np.ndarray] = []
    if isinstance(model, VortexNetworks):
        structure, domain = _vortices(model)
        arrays = [np.asarray(x) for x in jax.tree.leaves(eqx.filter(model, eqx.is_array))]
    elif not isinstance(model, Trained | Learned | Ensemble | eqx.Module):
        raise JaxmemError(f"A {type(model).__name__} cannot be saved. Write jm.save(trained, 'net.jaxmem') or jm.save(membrane, ...).")  # fmt: skip
    else:
        domain, structure = _domain(_kept(model)), described(_kept(model), arrays)
    odd = next((str(x.dtype) for x in arrays if str(x.dtype) not in _DTYPES), None)
    if odd is not None:
        raise JaxmemError(f"An array of {odd} cannot be saved: files hold {' and '.join(_DTYPES)}.")
    raw = b"".join(np.ascontiguousarray(x.astype(x.dtype.newbyteorder("<"))).tobytes() for x in arrays)
    header = {
        "schema": _SCHEMA, "version": VERSION, "class": type(model).__name__, "structure": structure, "training_domain": domain, "notes": notes or {},
        "arrays": [{"dtype": str(x.dtype), "shape": list(x.shape)} for x in arrays], "sha256": hashlib.sha256(raw).hexdigest(),
    }  # fmt: skip
    try:
        text = json.dumps(header).encode()
    except (TypeError, ValueError) as error:
        raise JaxmemError(f"notes hold something that is no JSON ({error}). Write text and plain numbers.") from error
    if len(text) > _MOST_HEADER:
        raise JaxmemError(
            f"Structure and notes take {len(text)} bytes, of {_MOST_HEADER} that a file has for them. Shorten notes=."
        )
    target = Path(path)
    half = target.with_name(f"{target.name}.{os.getpid()}.partial")
    try:
        half.write_bytes(_MAGIC + len(text).to_bytes(8, "little") + hashlib.sha256(text + raw).digest() + text + raw)
        half.replace(target)
    except OSError as error:
        half.unlink(missing_ok=True)
        raise JaxmemError(f"{target} cannot be written: {error}. Give another path.") from error


def _kept(model: Any) -> Any:
    """What is written of a model: of a training, model and membrane; of an ensemble, those of each member."""
    if isinstance(model, Ensemble):
        return tuple(_kept(member) for member in model.members)
    if isinstance(model, Trained):
        return model.model, model.case.membrane
    return tuple(model) if isinstance(model, Learned) else model


def header_of(path: str | Path) -> dict[str, Any]:
    """What a file says of its model."""
    return _read(Path(path))[0]


def load(path: str | Path) -> Any:
    """The model of a file that ``save`` wrote; everything is checked before anything is built."""
    header, raw = _read(Path(path))
    arrays, at = [], 0
    for a in header["arrays"]:
        dtype, count = np.dtype(a["dtype"]), math.prod(a["shape"])
        values = np.frombuffer(raw, dtype.newbyteorder("<"), count, at)
        arrays.append(values.reshape(a["shape"]).astype(dtype))
        at += values.nbytes
    try:
        if header["class"] == "VortexNetworks":
            return _vortex_networks(header["structure"], arrays)
        found = rebuilt(header["structure"], arrays)
        if header["class"] == "Ensemble":
            if not isinstance(found, tuple) or not found:
                raise ValueError("an ensemble of nobody")
            return Ensemble(tuple(Learned(*member) for member in found))
        return Learned(*found) if header["class"] in ("Trained", "Learned") else found
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, RecursionError, JaxmemError) as error:
        raise DataFileError(f"{path} describes a {header['class']} that cannot be built: {error!r}. Save it again.") from error  # fmt: skip


def _vortex_networks(structure: dict[str, Any], arrays: list[np.ndarray]) -> VortexNetworks:
    _check_sizes(structure)
    blank = eqx.filter_eval_shape(_blank_vortices, structure)  # shapes, no arrays
    wanted, rest = eqx.partition(blank, lambda x: isinstance(x, jax.ShapeDtypeStruct))
    leaves, tree = jax.tree.flatten(wanted)
    if [(x.shape, x.dtype) for x in arrays] != [(x.shape, x.dtype) for x in leaves]:
        raise ValueError("its arrays are not those of its structure")
    return eqx.combine(jax.tree.unflatten(tree, [jnp.asarray(x) for x in arrays]), rest)


def _check_sizes(structure: Any) -> None:
    """Whole numbers of a sensible size, at any depth."""
    for value in structure.values():
        if isinstance(value, dict):
            _check_sizes(value)
        elif type(value) is not int or not 1 <= value <= 100_000:
            raise ValueError(f"a size of {value!r}")


def vortex_networks() -> VortexNetworks:
    """The networks that come with the package, trained on its 512 experiments by ``jaxmem.reproduce.ec_networks.main()``."""
    return load(Path(__file__).parent.parent / "data" / "vortices.jaxmem")


def ion_network() -> AttentionNeuralODE:
    """The attention neural ODE that comes with the package: 20,000 random feeds through random pores (``jm.random_case``), solved by DSPM-DE.

    A start for ``jm.train`` on measurements (``part="last two"``), and an answer without a film in one program for any ions; ``result.outside`` flags what lies beyond
    its training. Its file names its errors in feeds never seen and the command that made it (``jaxmem.surrogate.checkpoint.header_of``).
    """
    return load(Path(__file__).parent.parent / "data" / "ions.jaxmem")


def _read(path: Path) -> tuple[dict[str, Any], bytes]:
    """Header and arrays as bytes, both sound."""
    if not path.exists():
        raise DataFileError(f"{path} does not exist. Write jm.save(model, {str(path)!r}) first.")
    if path.is_dir():
        raise DataFileError(f"{path} is a folder. Write jm.load('net.jaxmem').")
    whole = path.read_bytes()
    start = len(_MAGIC) + 8 + 32
    if not whole.startswith(_MAGIC) or len(whole) < start:
        raise DataFileError(f"{path} is no model of jaxmem: it does not begin with {_MAGIC.decode().strip()!r}.")
    size = int.from_bytes(whole[len(_MAGIC) : len(_MAGIC) + 8], "little")
    if size > _MOST_HEADER or start + size > len(whole):
        raise DataFileError(f"{path} is damaged: its header would be {size} bytes long. Save it again.")
    if hashlib.sha256(whole[start:]).digest() != whole[start - 32 : start]:
        raise DataFileError(f"{path} is damaged: its checksum is not the one it states. Save it again.")
    try:
        header = json.loads(whole[start : start + size])
        if any(type(n) is not int or n < 0 for a in header["arrays"] for n in a["shape"]):
            raise ValueError("a shape of no array")
        sizes = [math.prod(int(n) for n in a["shape"]) * np.dtype(a["dtype"]).itemsize for a in header["arrays"]]
        fine = all(a["dtype"] in _DTYPES for a in header["arrays"]) and isinstance(header["training_domain"], dict)
        missing = [k for k in ("schema", "class", "structure", "sha256") if k not in header]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataFileError(f"{path} is damaged: its header cannot be read ({error!r}). Save it again.") from error
    if missing or not fine:
        raise DataFileError(f"{path} is damaged: its header lacks {missing or 'a training domain'}. Save it again.")
    if header["schema"] != _SCHEMA:
        raise DataFileError(f"{path} has schema {header['schema']!r}; this version reads {_SCHEMA}. Save it again.")
    raw = whole[start + size :]
    if len(raw) != sum(sizes) or hashlib.sha256(raw).hexdigest() != header["sha256"]:
        raise DataFileError(
            f"{path} is damaged: {len(raw)} bytes of arrays, whose checksum is not the one it states. Save it again."
        )
    return header, raw
