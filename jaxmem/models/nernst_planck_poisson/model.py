"""Current through a layer of a binary salt at an ion-exchange membrane: steady Nernst-Planck-Poisson, one-dimensional."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from ..._errors import JaxmemError
from ..._fields import whole
from ..._status import code
from ...case import Case
from ...conditions import CurrentDriven, VoltageRamp
from ...membranes.ion_exchange import FixedChargeMembrane, MembranePair
from ..base import AbstractModel
from ..inputs import benign, input_status
from ..lanes import known, over_lanes
from .equations import Imposed, Layer, Unknown, current, faces
from .groups import scales, similarity
from .question import RESOLVED, Rows, check_electric, layer_of, unresolved
from .result import CurrentResult
from .steady import answered, at_current, at_voltage, begin

_CLOSED = 1e-8  # largest difference of current between faces, relative, of a state that is solved
_BLOCK = 8  # lanes at a time on a CPU: measured 3 times faster than all at once


class CurrentState(NamedTuple):
    """What was found, scaled; a sweep adds an axis of voltages to all but the grid."""

    faces: Array  # of the grid, (N + 1,)
    cells: Array  # c_1, c_2, phi: (3, N), counter-ions first
    voltage: Array
    current: Array  # at the lower wall
    counter: Array  # what counter-ions carry of it
    spread: Array  # of the current over all faces, relative
    round_off: Array  # how much of it the digits of a state may leave
    turns: Array  # Newton steps
    arrived: Array
    status: Array  # of the inputs


class NernstPlanckPoisson(AbstractModel):
    """``dJ_i/dy = 0``, ``J_i = -D_i (dc_i/dy + z_i c_i F/RT dphi/dy)``, ``e d2phi/dy2 = -F sum z_i c_i``; no electroneutrality assumed.

    An ``IonExchangeMembrane`` at y = 0 faces a stirred bulk of the feed at ``thickness``; a ``MembranePair`` of one kind closes a gap whose
    mean concentration is that of the feed, with so many ``cells`` before each membrane; a ``FixedChargeMembrane`` below y = 0 lies between two
    layers of ``thickness``, and is resolved with them, each on as many. ``Voltage``, ``VoltageSweep`` or ``CurrentDriven``. The equations stand in
    ``jaxmem/models/nernst_planck_poisson/equations.py``: finite volumes of second order, fine at the walls. Tried for eps of 1e-4 to 1e-2 and up
    to 120 thermal voltages. No flow: above the onset of electroconvection (``jm.onset``) real currents are larger.
    """

    cells: int = eqx.field(static=True, default=128, converter=whole)
    precision: str = eqx.field(static=True, default="float64")

    def __check_init__(self) -> None:
        if type(self.cells) is not int or self.cells < 8 or self.cells % 2:
            raise JaxmemError(f"cells = {self.cells!r} is not an even number of cells, 8 or more. Write cells=128.")

    def title(self) -> str:
        """Name and options, as printed."""
        return f"Nernst-Planck-Poisson ({self.cells} cells)"

    def sources(self) -> list[str]:
        """Where the equations come from."""
        return [
            "Space charge and limiting current: Rubinstein and Shtilman 1979, doi 10.1039/F29797500231.",
            "Fluxes: Scharfetter and Gummel 1969, doi 10.1109/T-ED.1969.16566.",
        ]

    def check(self, case: Case) -> None:
        """Refuse what this model cannot answer."""
        check_electric(case, self.precision, resolved=True)
        if isinstance(case.conditions, VoltageRamp):
            raise JaxmemError(
                "A steady layer knows no ramp. Write jm.VoltageSweep(jnp.linspace(0.0, 1.0, 41), thickness=1e-4)."
            )
        m = case.membrane
        if isinstance(m, MembranePair) and m.low.exchanges != m.high.exchanges:
            raise JaxmemError(
                "Between a cation and an anion exchanger at rest the salt only depletes: there is no steady current in one dimension. "
                "Write jm.MembranePair() for two of one kind, or jm.IonExchangeMembrane() before a stirred bulk."
            )

    def initial_guess(self, case: Case) -> Array:
        """The voltage without current, RT/F, ``(*batch)``: where the path along the voltage begins."""
        return over_lanes(lambda c: begin(*self.layer(c)).state.voltage, case)

    def layer(self, case: Case) -> tuple[Layer, Array | None]:
        """The scaled question of one lane, and the mean co-ions where they are imposed."""
        sides = 2 if isinstance(case.membrane, MembranePair) else 1
        return layer_of(case, sides * self.cells, Rows(scale=0.7, share=0.25, charged=0.4))

    @eqx.filter_jit
    def find(self, case: Case) -> CurrentState:
        """Solve every lane."""
        status = input_status(case)
        state = over_lanes(self._lane, benign(case, status == code("successful")), _BLOCK)
        return state._replace(status=status)

    def _lane(self, case: Case) -> CurrentState:
        """One question: the path along the voltage, then the state with its derivatives."""
        layer, co_ions = self.layer(case)
        unit = scales(case.feed, case.conditions.thickness)
        still, held = jax.lax.stop_gradient((layer, co_ions))
        path = begin(still, held)
        start = (
            path.state
        )  # at rest without current: where there is no answer, this is what is differentiated, for nothing
        if isinstance(case.conditions, CurrentDriven):
            wanted = case.conditions.current / unit.current
            path = at_current(still, held, path, jax.lax.stop_gradient(wanted))
            given = Imposed(None, jnp.where(path.arrived, wanted, 0.0), co_ions)
            return _seen(layer, given, path, start)
        wanted = case.conditions.voltage / unit.potential

        def go(path: Any, voltage: Array) -> tuple:
            path = at_voltage(still, held, path, voltage)
            return path, path

        points = jnp.atleast_1d(wanted)
        _, paths = jax.lax.scan(go, path, jax.lax.stop_gradient(points))

        def seen(voltage: Array, path: Any) -> CurrentState:
            voltage = jnp.where(path.arrived, voltage, start.voltage)
            return _seen(layer, Imposed(voltage, None, co_ions), path, start)

        found = jax.vmap(seen)(points, paths)
        grid = found.faces[0]
        return (found if wanted.ndim else jax.tree.map(lambda x: x[0], found))._replace(faces=grid)

    def _widest(self, state: CurrentState, case: Case) -> Array:
        """Cell at a surface of a membrane, in Debye lengths of what it lies in."""
        eps, widths = similarity(case).eps, jnp.diff(state.faces)
        fixed = case.membrane.charge_density / scales(case.feed, case.conditions.thickness).concentration
        inside = widths[..., 2 * self.cells - 1] * jnp.sqrt(1.0 + 0.5 * fixed)  # both surfaces are alike
        return jnp.maximum(widths[..., 2 * self.cells], inside) / eps

    def residual(self, state: CurrentState, case: Case) -> Array:
        """Difference of the current between the faces, relative, ``(*batch, 1)``: zero at the solution."""
        return _worst(state.spread, len(case.batch_shape))[..., None]

    @eqx.filter_jit
    def observe(self, state: CurrentState, case: Case) -> CurrentResult:
        """The Result of every lane."""
        sound = state.status == code("successful")
        clean = benign(case, sound)
        shape = state.status.shape
        eps = jnp.broadcast_to(similarity(clean).eps, shape)
        if isinstance(case.membrane, FixedChargeMembrane):
            wide = jnp.broadcast_to(self._widest(state, clean) > RESOLVED, shape)
        else:
            wide = unresolved(state.faces, state.cells[..., :2, :], eps)
        stopped = "current_out_of_reach" if isinstance(case.conditions, CurrentDriven) else "continuation_stopped"
        there = state.arrived & (state.spread < _CLOSED + 4.0 * state.round_off)
        there = there.reshape(*shape, -1).all(-1)
        status = jnp.where(there, code("successful"), code(stopped))
        status = jnp.where(wide, code("debye_layer_unresolved"), status)
        status = jnp.where(sound, status, state.status)
        state = known(state, status == code("successful"))
        return CurrentResult(case=case, model=self, state=state, clean=clean, status=status)


def _seen(layer: Layer, given: Imposed, path: Any, start: Unknown) -> CurrentState:
    """The state with its derivatives, and what is told of it; of a path that stopped short, its last state without any."""
    x = answered(layer, given, path, start)
    at = faces(layer, x.cells, x.voltage)
    all_faces, flux = current(layer, at.flux), at.flux
    size = 1.0 + jnp.abs(all_faces[0])
    spread = (jnp.max(all_faces) - jnp.min(all_faces)) / size
    one_way = jnp.max(
        at.left[:, 1:] * x.cells[:2]
    )  # through faces of small cells in a charged membrane, far more than what is left of it
    round_off = 8.0 * jnp.finfo(one_way.dtype).eps * jax.lax.stop_gradient(one_way / size)
    zero = jnp.zeros((), jnp.int32)
    counter = -layer.sign * flux[0, 0]
    return CurrentState(
        layer.grid.faces, x.cells, x.voltage, all_faces[0], counter, spread, round_off, path.turns, path.arrived, zero
    )


def _worst(x: Array, batch: int) -> Array:
    return jnp.max(x.reshape(*x.shape[:batch], -1), axis=-1)
