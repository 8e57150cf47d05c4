"""Networks for electroconvection: from similarity criteria to current, vortex diameter and plateau length, beside the physics at rest."""

from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import Array

from .._errors import JaxmemError
from .._status import code
from ..case import Case
from ..conditions import Voltage, VoltageSweep
from ..membranes.ion_exchange import IonExchangeMembrane
from ..models.base import AbstractModel
from ..models.inputs import benign, input_status
from ..models.lanes import known
from ..models.nernst_planck_poisson.groups import charges, scales, similarity
from ..models.nernst_planck_poisson.model import NernstPlanckPoisson
from ..models.nernst_planck_poisson.question import check_electric
from .ensemble import train_networks
from .regression import Networks, Prediction
from .splits import Scores, Split, grouped, scores
from .vortices_result import VortexResult

INPUTS = ("log eps", "log kappa", "Pe", "log D ratio", "box")  # and the voltage, but for the plateau
TARGETS = ("excess", "diameter", "height", "plateau")
_ENRICHMENT = 2.0  # of the membranes that were marched


class Curves(NamedTuple):
    """What numerical experiments found, n curves of V voltages: scaled, NaN where there is nothing to see."""

    criteria: np.ndarray  # (n, 5) eps, kappa, Pe, D ratio, box
    voltage: np.ndarray  # (n, V)
    current: np.ndarray  # mean
    interval: np.ndarray  # of its 95 % confidence, half
    at_rest: np.ndarray  # current without flow
    diameter: np.ndarray  # d1
    height: np.ndarray  # d2
    onset: np.ndarray  # (n,) voltage at which the current exceeds that at rest by 5 %
    plateau: np.ndarray  # (n,) length, RT/F
    misfit: np.ndarray  # (n,) of its three lines


class Rows(NamedTuple):
    """One target: inputs ``(m, k)``, values and group of each row."""

    x: np.ndarray
    y: np.ndarray
    group: np.ndarray


def features(criteria: Any) -> Any:
    """``(..., 5)`` from eps, kappa, Pe, D ratio and box: what the networks read."""
    eps, kappa, peclet, ratio, box = (criteria[..., i] for i in range(5))
    return jnp.stack([jnp.log(eps), jnp.log(kappa), peclet, jnp.log(ratio), box], axis=-1)


def rows_of(data: Curves, target: str) -> Rows:
    """The rows in which a target is known."""
    n, v = data.voltage.shape
    group, x = np.arange(n), np.asarray(features(jnp.asarray(data.criteria)))
    if target == "plateau":
        y = data.plateau
    else:
        y = {"excess": data.current / data.at_rest - 1.0, "diameter": data.diameter, "height": data.height}[target]
        group = np.repeat(group, v)
        x, y = np.concatenate([x[group], data.voltage.reshape(-1, 1)], axis=1), y.reshape(-1)
    there = np.isfinite(y)
    return Rows(x[there], y[there], group[there])


class Trained(NamedTuple):
    """A model, and for each target its rows, their split and the scores on the groups that were held out."""

    model: "VortexNetworks"
    rows: dict[str, Rows]
    splits: dict[str, Split]
    scores: dict[str, Scores]


def train_vortices(data: Curves, *, seed: int = 0, steps: int = 4000, members: int = 8, told: Any = None) -> Trained:
    """Networks for all targets; a curve is on one side of the split in all of them. ``told(target)`` is called before each."""
    if not isinstance(data, Curves) or len(data.criteria) < 20:
        raise JaxmemError(
            "Networks need Curves of 20 experiments or more. Write jm.train_vortices(curves(shipped())), of jaxmem.reproduce.ec_data."
        )
    if not np.isfinite(data.criteria).all():
        row = int(np.flatnonzero(~np.isfinite(data.criteria).all(axis=1))[0])
        raise JaxmemError(
            f"Curve {row} has criteria {data.criteria[row]}. Leave it out: a network cannot know where it lies."
        )
    for target in TARGETS:
        if len(np.unique(rows_of(data, target).group)) < 10:
            raise JaxmemError(f"Fewer than ten curves tell the {target}. Generate more, or widen their voltages.")
    if type(members) is not int or type(steps) is not int or members < 1 or steps < 1:
        raise JaxmemError(
            f"members = {members!r} and steps = {steps!r} must be 1 or more. Write members=8, steps=4000."
        )
    side = grouped(np.arange(len(data.criteria)), seed)
    nets, rows, splits, found = {}, {}, {}, {}
    for target in TARGETS:
        if told is not None:
            told(target)
        r = rows_of(data, target)
        split = Split(*(part[r.group] for part in side))
        nets[target] = train_networks(r.x, r.y, r.group, split, seed=seed, steps=steps, members=members)
        p = nets[target](jnp.asarray(r.x[split.test]))
        rows[target], splits[target] = r, split
        found[target] = scores(r.y[split.test], np.asarray(p.value), np.asarray(p.interval))
    return Trained(VortexNetworks(**nets), rows, splits, found)


class VortexState(NamedTuple):
    """Scaled; a sweep adds an axis of voltages."""

    voltage: Array
    at_rest: Array
    excess: Prediction
    diameter: Prediction
    height: Prediction
    plateau: Prediction  # (*batch)
    status: Array


class VortexNetworks(AbstractModel):
    """Mean current, vortex diameter and height, and plateau length beside a cation- or anion-exchange membrane and a stirred bulk.

    The current at rest is that of ``NernstPlanckPoisson``; networks give what vortices add, and the rest. Trained on ``Electroconvection`` with
    one pair or two in the box, 1:1 salts and c_w = 2; ``result.outside`` says which answers lie beyond the training. A question is a ``Voltage`` or ``VoltageSweep``
    with a ``length``. Differentiable, and as fast as the physics at rest.
    """

    excess: Networks
    diameter: Networks
    height: Networks
    plateau: Networks
    rest: NernstPlanckPoisson = NernstPlanckPoisson()

    def title(self) -> str:
        """Name, as printed."""
        return "Networks of vortices"

    def sources(self) -> list[str]:
        """Where the idea comes from."""
        return ["Kazakovtseva et al. 2026, doi 10.3390/membranes16010041.", *self.rest.sources()]

    def check(self, case: Case) -> None:
        """Refuse what this model cannot answer."""
        check_electric(case, "float64")
        if not isinstance(case.conditions, Voltage | VoltageSweep) or not isinstance(
            case.membrane, IonExchangeMembrane
        ):
            raise JaxmemError(
                "These networks know voltages at one membrane. Write jm.Case(feed, jm.IonExchangeMembrane(), jm.Voltage(0.7, thickness=1e-4, length=1.5e-4))."
            )
        if case.conditions.length is None:
            raise JaxmemError(
                "The networks need a period along the membrane. Write jm.Voltage(0.7, thickness=1e-4, length=1.5e-4)."
            )

    def initial_guess(self, case: Case) -> Array:
        """Of the layer at rest."""
        return self.rest.initial_guess(case)

    @eqx.filter_jit
    def find(self, case: Case) -> VortexState:
        """Answer every lane."""
        status, rest = input_status(case), self.rest.find(case)
        solved = self.rest.observe(rest, case).status
        clean = benign(case, status == code("successful"))
        groups, unit, m, shape = (
            similarity(clean),
            scales(clean.feed, clean.conditions.thickness),
            clean.membrane,
            status.shape,
        )
        mirrored = m.exchanges != "cations"  # then anions take the part of cations, and the voltage its other sign
        ratio = 1.0 / groups.diffusivity_ratio if mirrored else groups.diffusivity_ratio
        criteria = [
            groups.eps,
            groups.kappa,
            groups.peclet,
            ratio,
            clean.conditions.length / clean.conditions.thickness,
        ]
        x = features(jnp.stack([jnp.broadcast_to(c, shape) for c in criteria], axis=-1))
        sweep = isinstance(case.conditions, VoltageSweep)
        volts = clean.conditions.voltage / (unit.potential[..., None] if sweep else unit.potential)
        volts = jnp.broadcast_to(volts, rest.current.shape)
        wide = jnp.broadcast_to(x[..., None, :], (*volts.shape, x.shape[-1])) if sweep else x
        full = jnp.concatenate([wide, (-volts if mirrored else volts)[..., None]], axis=-1)
        odd_salt = jnp.any(jnp.abs(charges(clean.feed)) != 1.0, axis=-1)
        strange = jnp.broadcast_to((jnp.abs(m.enrichment - _ENRICHMENT) > 1e-6) | odd_salt, shape)

        def ask(net: Networks, x: Array) -> Prediction:
            p = net(x)
            return p._replace(outside=p.outside | (strange[..., None] if x.ndim > strange.ndim + 1 else strange))

        per_voltage = [ask(net, full) for net in (self.excess, self.diameter, self.height)]
        return VortexState(volts, rest.current, *per_voltage, ask(self.plateau, x), solved)

    def residual(self, state: VortexState, case: Case) -> Array:
        """A network has none: zero, ``(*batch, 1)``."""
        return jnp.zeros((*state.status.shape, 1))

    def observe(self, state: VortexState, case: Case) -> VortexResult:
        """The Result of every lane."""
        sound = state.status == code("successful")
        clean = benign(case, input_status(case) == code("successful"))
        return VortexResult(case=case, model=self, state=known(state, sound), clean=clean, status=state.status)
