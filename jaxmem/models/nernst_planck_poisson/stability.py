"""When does a steady layer begin to move: growth rates of disturbances, and the onset of electroconvection."""

import dataclasses
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.core import Tracer
from jax.typing import ArrayLike

from ..._errors import ConvergenceError, JaxmemError, ShapeError
from ..._fields import float_array, is_concrete
from ...case import Case
from ...conditions import Voltage
from .equations import Layer, Unknown, current, faces
from .groups import Scales, scales, similarity
from .model import NernstPlanckPoisson
from .perturbation import leading, matrix, residual
from .question import RESOLVED, Rows, check_electric, layer_of
from .steady import at_rest

_COARSE = 48  # cells of the first look
# disturbances need a finer double layer than the current does: V_c of 128 cells is off by 0.04 %, on the rows of the model by 0.2 %
_ROWS = Rows(scale=1.5, share=0.7)
_SCAN = (12.0, 120.0)  # RT/F that onset is looked for in
_STEPS = 9
_WAVES = np.geomspace(1.5, 12.0, 7)  # 1/L, of the first look


class Growth(eqx.Module):
    """Growth of disturbances of given wavenumbers, ``(K,)``."""

    wavenumber: Array  # 1/m
    rate: Array  # 1/s, of the disturbance that grows fastest
    residual: Array  # of its eigenvalue problem; large where the rate is that of an oscillation
    shape: Array  # of the disturbance: both ions, counter-ions first, (K, 2, N), of largest size 1
    scales: Scales

    @property
    def scaled_rate(self) -> Array:
        """In D/L^2."""
        return self.rate * self.scales.time

    @property
    def scaled_wavenumber(self) -> Array:
        """In 1/L."""
        return self.wavenumber * self.scales.length


class Onset(eqx.Module):
    """Where the first disturbance grows: above ``voltage`` the layer at rest is unstable."""

    voltage: Array  # V, the Donnan jump at y = 0 included
    wavenumber: Array  # 1/m
    current: Array  # A/m2, at rest
    rate: Array  # D/L^2, what is left of zero
    scales: Scales

    @property
    def scaled_voltage(self) -> Array:
        """In RT/F."""
        return self.voltage / self.scales.potential

    @property
    def scaled_wavenumber(self) -> Array:
        """In 1/L."""
        return self.wavenumber * self.scales.length

    @property
    def scaled_current(self) -> Array:
        """In F D c0/L."""
        return self.current / self.scales.current

    def __str__(self) -> str:
        if isinstance(self.voltage, Tracer):
            return "Onset (traced)"
        box = 2.0 * np.pi / float(self.wavenumber)
        return (
            f"Electroconvection sets in at {float(self.voltage):.4g} V ({float(self.scaled_voltage):.4g} RT/F), {float(self.current):.4g} A/m2\n"
            f"  first vortex pair {box:.4g} m long ({2.0 * np.pi / float(self.scaled_wavenumber):.4g} L)"
        )


class Sound(NamedTuple):
    """Of the layer at rest that is disturbed."""

    arrived: Array  # whether it was found at its voltage
    resolved: Array  # whether cells at the wall are narrower than the Debye length


def growth_rate(model: NernstPlanckPoisson, case: Case, wavenumber: ArrayLike) -> Growth:
    """Growth rates of disturbances ``exp(sigma t) cos(k x)`` of the steady layer of one case, for wavenumbers k in 1/m, ``(K,)``.

    Stokes flow under electric force, no slip at both ends. Exact derivatives of the rate to everything in the case and to k. The eigenvalues
    are those of a dense matrix, ``(2N, 2N)``, on a CPU. Without flow along the membrane. Instability is monotonic for well-charged membranes: the leading eigenvalue is real.
    """
    _check(model, case)
    unit = scales(case.feed, case.conditions.thickness)
    k = jnp.atleast_1d(jnp.asarray(float_array(wavenumber), float)) * unit.length
    if not isinstance(k, Tracer) and not bool(np.all(np.asarray(k) > 0.0)):
        raise JaxmemError(
            "A wavenumber is positive, in 1/m. Write jm.growth_rate(model, case, 2 * jnp.pi / length_of_a_pair)."
        )
    if k.ndim > 1:
        raise ShapeError(f"wavenumber has shape {k.shape}. Give one axis of wavenumbers, and jax.lax.map over others.")
    value, left, vector, sound = _rates(model, case, k)
    _told(model, case, sound)
    shape = vector.reshape(k.shape[0], 2, -1)
    return Growth(k / unit.length, value / unit.time, left, shape, unit)


@eqx.filter_jit
def _rates(model: NernstPlanckPoisson, case: Case, k: Array) -> tuple[Array, Array, Array, Sound]:
    layer, co_ions = layer_of(case, model.cells, _ROWS)
    x, path = at_rest(layer, co_ions, case.conditions.voltage / scales(case.feed, case.conditions.thickness).potential)

    def one(k: Array) -> tuple[Array, Array, Array]:
        m = matrix(layer, similarity(case).kappa, x.cells, x.voltage, k)
        value, vector = leading(m)
        where = jax.lax.stop_gradient(vector)
        top = where[jnp.argmax(jnp.abs(where))]
        return value, residual(*jax.lax.stop_gradient((m, value)), where), (where / top).real

    return *jax.lax.map(one, k), Sound(path.arrived, _resolved(layer))


def onset(model: NernstPlanckPoisson, case: Case) -> Onset:
    """The voltage and wavenumber at which the steady layer of one case becomes unstable, whatever voltage the case imposes.

    ``max_k sigma(V, k) = 0`` over continuous k: a coarse look along V and k, then Newton in k and a secant in V. Derivatives of voltage,
    wavenumber and current to everything in the case are exact. Raises ``ConvergenceError`` where no onset lies between 12 and 120 RT/F.
    """
    _check(model, case)
    found, sound = _onset(model, case)
    _told(model, case, sound)
    if not isinstance(found.voltage, Tracer) and not abs(float(found.rate)) < 1e-6:
        raise ConvergenceError(
            f"No onset of electroconvection was found between {_SCAN[0]:g} and {_SCAN[1]:g} thermal voltages (kappa "
            f"{float(similarity(case).kappa):.3g}, eps {float(similarity(case).eps):.3g}). Try a thinner double layer (stronger solution), or "
            "a fluid of lower viscosity."
        )
    return found


@eqx.filter_jit
def _onset(model: NernstPlanckPoisson, case: Case) -> tuple[Onset, Sound]:
    layer, co_ions = layer_of(case, model.cells, _ROWS)
    kappa = similarity(case).kappa

    def along_k(state: Unknown, k: Array) -> tuple[Array, Array]:
        """The rate and its slope to k, of one steady state."""
        rate = lambda k: leading(matrix(layer, kappa, state.cells, state.voltage, k))[0]
        return jax.jvp(rate, (k,), (jnp.ones_like(k),))

    def equations(x: Array) -> Array:
        return jnp.stack(along_k(at_rest(layer, co_ions, x[0])[0], x[1]))

    def solve(_: Any, x: Array) -> Array:
        """Newton in k, a secant in V on the top that Newton foresees."""

        def step(carry: tuple, _: None) -> tuple:
            x, other, before, rise = carry
            state = at_rest(layer, co_ions, x[0])[0]
            (value, slope), (_, bend) = jax.jvp(lambda k: along_k(state, k), (x[1],), (jnp.ones_like(x[1]),))
            bend = jnp.where(bend < 0.0, bend, -jnp.inf)
            top = value - 0.5 * slope**2 / bend
            far = jnp.abs(x[0] - other) > 1e-5 * x[0]  # nearer, the difference is all noise
            rise = jnp.where(far, (top - before) / jnp.where(far, x[0] - other, 1.0), rise)
            by = jnp.where(rise > 0.0, top / jnp.where(rise > 0.0, rise, 1.0), jnp.sign(top) * 0.01 * x[0])
            move = jnp.stack([by, slope / bend])
            return (x - jnp.clip(move, -0.2 * x, 0.2 * x), x[0], top, rise), None

        zero = jnp.zeros_like(x[0])
        return jax.lax.scan(step, (x, x[0], zero, zero), None, length=_STEPS)[0][0]

    def inverse(linear: Any, right: Array) -> Array:
        return jnp.linalg.solve(jax.vmap(linear, out_axes=1)(jnp.eye(2)), right)

    first = jax.lax.stop_gradient(_first_look(dataclasses.replace(model, cells=_COARSE), case))
    x = jax.lax.custom_root(equations, first, solve, inverse)
    state, path = at_rest(layer, co_ions, x[0])
    unit = scales(case.feed, case.conditions.thickness)
    flows = current(layer, faces(layer, state.cells, state.voltage).flux)[0]
    found = Onset(
        x[0] * unit.potential,
        x[1] / unit.length,
        flows * unit.current,
        jax.lax.stop_gradient(along_k(state, x[1])[0]),
        unit,
    )
    return found, Sound(path.arrived, _resolved(layer))


def _first_look(model: NernstPlanckPoisson, case: Case) -> Array:
    """Voltage and wavenumber near onset, of few cells: bisection in V on the largest of some rates."""
    layer, co_ions = layer_of(case, model.cells, _ROWS)
    kappa, waves = similarity(case).kappa, jnp.asarray(_WAVES)

    def largest(voltage: Array) -> tuple[Array, Array]:
        state = at_rest(layer, co_ions, voltage)[0]
        rates = jax.lax.map(lambda k: leading(matrix(layer, kappa, state.cells, state.voltage, k))[0], waves)
        return jnp.max(rates), waves[jnp.argmax(rates)]

    def halve(_: Any, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = ends
        middle = 0.5 * (low + high)
        grows = largest(middle)[0] > 0.0
        return jnp.where(grows, low, middle), jnp.where(grows, middle, high)

    _, high = jax.lax.fori_loop(0, 9, halve, (jnp.asarray(_SCAN[0]), jnp.asarray(_SCAN[1])))
    return jnp.stack([high, largest(high)[1]])


def _resolved(layer: Layer) -> Array:
    return jax.lax.stop_gradient(layer.grid.widths[0] / layer.eps) <= RESOLVED


def _told(model: NernstPlanckPoisson, case: Case, sound: Sound) -> None:
    """Refuse rates of a layer that was not found, or is coarser than its own space charge."""
    if isinstance(sound.arrived, Tracer) or isinstance(sound.resolved, Tracer):
        return
    if not bool(sound.resolved):
        raise ConvergenceError(
            f"{model.cells} cells do not resolve the Debye layer of eps {float(similarity(case).eps):.3g}: rates would be those of another layer. "
            f"Write jm.NernstPlanckPoisson({4 * model.cells})."
        )
    if not bool(sound.arrived):
        raise ConvergenceError(
            "The layer at rest was not found at this voltage. Try more cells, or jm.solve(model, case) to see how far it goes."
        )


def _check(model: Any, case: Case) -> None:
    if not isinstance(model, NernstPlanckPoisson):
        raise JaxmemError(f"{type(model).__name__} has no growth rates. Write jm.NernstPlanckPoisson().")
    check_electric(case, model.precision)
    model.check(case)
    if not isinstance(case.conditions, Voltage) or case.batch_shape:
        raise JaxmemError(
            "Growth rates and onset belong to one case at one voltage. Write jm.Voltage(0.5, thickness=100 * um), and jax.lax.map over cases."
        )
    flow = case.conditions.velocity
    if is_concrete(flow) and bool(np.any(np.asarray(flow) > 0.0)):
        raise JaxmemError(
            f"velocity = {float(np.ravel(np.asarray(flow))[0]):g} m/s: rates and onset are those of a layer without flow along the membrane, which tears "
            "vortices across it apart. Write velocity=0 (peclet=0), or march jm.Electroconvection, which knows the flow."
        )
