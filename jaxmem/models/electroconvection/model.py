"""Electroconvection in the plane: Nernst-Planck-Poisson-Stokes beside ion-exchange membranes, through time."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ..._errors import JaxmemError, ShapeError
from ..._fields import check, field, is_concrete, real, whole
from ..._status import code
from ...case import Case
from ...conditions import CurrentDriven, Voltage, VoltageRamp, VoltageSweep
from ..base import AbstractModel
from ..inputs import benign, input_status
from ..lanes import known, over_lanes
from ..nernst_planck_poisson.equations import Layer, current, faces
from ..nernst_planck_poisson.groups import scales, similarity
from ..nernst_planck_poisson.question import Rows, check_electric, is_channel, layer_of, unresolved
from ..nernst_planck_poisson.steady import at_rest, carrying
from .channel import at_open_circuit, fringe, weight
from .domain import Salt, domain
from .flow import creeping, inert
from .march import Drive, Samples, march, stand_still, stream_now
from .rest import frozen
from .result import PlaneResult
from .start import Start, last_fields, resumed
from .statistics import worst_in
from .step import Fields, Numerics, Setting

_SHORTEST_BOX = 0.3  # thicknesses
_RISE = 0.3  # of the duration: the voltage of a channel rises from that of no current
_STILL = 1e-4  # change over the window of ``steady``: more is no fixed point
_UNSOLVED = 2e-2  # of the charge: a residual of the potential that is worth a status


class PlaneState(NamedTuple):
    """What was found, scaled; a sweep adds an axis of voltages to all but ``faces``."""

    faces: Array  # of the rows, (Ny + 1,)
    c: Array  # counter-ions first, (2, Ny, Nx)
    phi: Array
    psi: Array  # stream function at corners, (Ny + 1, Nx)
    at_rest: Array  # current of the steady layer without flow
    seen: Samples  # (K,)
    alive: Array
    frames: (
        tuple[Array, Array, Array] | None
    )  # ions, potential, stream function of every sample, (K, ...), if asked for
    moves: Array  # what Newton left of the change over its window, where vortices stand still
    status: Array  # of the inputs


class Electroconvection(AbstractModel):
    """``dc_i/dt + div(u c_i) = div(D_i (grad c_i + z_i c_i F/RT grad phi))``, ``e lap phi = -F sum z_i c_i``, Stokes flow under the force
    of the charge, periodic along the membrane.

    ``columns`` by ``rows`` cells, rows fine at the walls. Times are in L^2/D: ``duration`` of each voltage, ``longest`` step (first order in
    time; shorter where a cell would be crossed, ``courant`` of it a step). Starts from the steady layer, disturbed by ``amplitude``: as a cosine with
    ``pairs`` periods, or, with ``pairs=0``, at random by ``seed``. ``steps`` of equal length in place of adaptive ones make reverse-mode derivatives possible.
    Conditions are a ``Voltage``, a ``VoltageSweep`` (each voltage from the fields of the last), a ``VoltageRamp`` or a ``CurrentDriven`` (the
    mean current, conducted and displaced, is held and the voltage follows), with the ``length`` of the box.
    ``order=2``: second order in time, three times the work of a step. ``inertia``: ``du/dt/Sc`` is kept (without ``u grad u``, for small Re).
    ``frames``: the fields of every sample are kept, for ``result.plot.animation`` and ``result.to_xarray().to_zarr``.
    A ``MembranePair`` of unlike membranes is a channel with a ``velocity``, fed through a fringe (``channel.py``), whose voltage rises by itself.
    ``steady=100``: after the march the vortices that stand still are found by Newton (over so many steps), and derivatives are theirs; a march that
    did not come near them says so (status ``not_steady``). Derivatives of means over chaos mean nothing.
    ``progress=True`` shows a bar with the time simulated, voltage, current and Courant number; a function is called with these after every sample
    (``progress(told)``, ``told.time``, ``.voltage``, ``.current``, ``.step``, ``.courant``, ``.alive``). Means are taken over the last ``window`` of the duration.
    ``model.after(result)`` goes on from the last fields of another march.
    Good values: 64 x 64 cells at eps 1e-2, 64 x 96 for a pair of vortices at 1e-3.
    """

    columns: int = eqx.field(static=True, default=64, converter=whole)
    rows: int = eqx.field(static=True, default=64, converter=whole)
    duration: Array = field(unit="1", low=1e-9, high=1e6, symbol="T", doc="time of each voltage, L^2/D", default=0.5)
    longest: Array = field(unit="1", low=1e-12, high=1e3, symbol="dt", doc="longest step, L^2/D", default=5e-4)
    courant: Array = field(
        unit="1", low=1e-3, high=1.0, symbol="C", doc="part of a cell that a step may cross", default=0.5
    )
    amplitude: Array = field(
        unit="1", low=0.0, high=0.9, doc="relative disturbance of both ions at first", default=1e-2
    )
    pairs: int = eqx.field(static=True, default=1)
    seed: int = eqx.field(static=True, default=0)
    window: float = eqx.field(static=True, default=0.5, converter=real)
    samples: int = eqx.field(static=True, default=100)
    steps: int | None = eqx.field(static=True, default=None)
    iterations: int = eqx.field(static=True, default=5)
    order: int = eqx.field(static=True, default=1)
    inertia: bool = eqx.field(static=True, default=False)
    frames: bool = eqx.field(static=True, default=False)
    steady: int | None = eqx.field(static=True, default=None)
    x_flux: str = eqx.field(static=True, default="scharfetter_gummel")
    precision: str = eqx.field(static=True, default="float64")
    progress: Callable | bool | None = eqx.field(static=True, default=None)
    start: Start | None = None

    def __check_init__(self) -> None:
        for name, least in (("columns", 8), ("rows", 8), ("samples", 4), ("iterations", 1)):
            value = getattr(self, name)
            if type(value) is not int or value < least or (name in ("columns", "rows") and value % 2):
                even = "an even number" if name in ("columns", "rows") else "a number"
                raise JaxmemError(
                    f"{name} = {value!r} is not {even} of {least} or more. Write {name}={max(least, 64)}."
                )
        check(self)
        for name in ("duration", "longest", "courant", "amplitude"):
            if jnp.ndim(getattr(self, name)):
                raise ShapeError(
                    f"{name} has shape {jnp.shape(getattr(self, name))}; a model has one. Write {name}=0.5, and another model for another {name}."
                )
        if isinstance(self.window, bool) or not isinstance(self.window, int | float) or not 0.0 < self.window <= 1.0:
            raise JaxmemError(f"window = {self.window!r} is no part of the duration. Write window=0.5.")
        if self.steps is not None and (type(self.steps) is not int or self.steps < 1 or self.steps % self.samples):
            raise JaxmemError(
                f"steps = {self.steps!r} is no multiple of samples = {self.samples}. Write steps={10 * self.samples}."
            )
        if self.steps is not None and is_concrete(self.duration) and is_concrete(self.longest):
            dt, longest = np.asarray(self.duration) / self.steps, np.asarray(self.longest)
            if np.all(dt > longest * (1.0 + 1e-6)):
                enough = int(np.ceil(np.min(np.asarray(self.duration) / longest) / self.samples - 1e-6)) * self.samples
                raise JaxmemError(
                    f"steps = {self.steps} equal ones of {float(np.min(dt)):.3g} L^2/D are longer than longest = {float(np.max(longest)):.3g}. Write "
                    f"steps={enough}, or longest={float(np.min(dt)):.3g} for coarser ones, which are first order in time."
                )
        for name in ("inertia", "frames"):
            if type(getattr(self, name)) is not bool:
                raise JaxmemError(f"{name} = {getattr(self, name)!r} is neither True nor False. Write {name}=True.")
        if type(self.pairs) is not int or not 0 <= self.pairs <= self.columns // 4:
            raise JaxmemError(f"pairs = {self.pairs!r} is no number from 0 to {self.columns // 4}. Write pairs=1.")
        if self.progress not in (None, True, False) and not callable(self.progress):
            raise JaxmemError(
                f"progress = {self.progress!r} is neither True nor a function. Write progress=True for a bar, or progress=lambda told: print(told.time)."
            )
        if self.start is not None and not isinstance(self.start, Start):
            raise JaxmemError(
                f"start = {self.start!r} holds no fields of a plane. Write jm.Electroconvection(...).after(result)."
            )
        if type(self.seed) is not int:
            raise JaxmemError(f"seed = {self.seed!r} is no whole number. Write seed=0.")
        if self.steady is not None and (type(self.steady) is not int or self.steady < 1):
            raise JaxmemError(f"steady = {self.steady!r} is no number of steps. Write steady=100.")
        if type(self.order) is not int or self.order not in (1, 2):
            raise JaxmemError(f"order = {self.order!r} is not known. Write order=1 or order=2.")
        if self.x_flux not in ("scharfetter_gummel", "central"):
            raise JaxmemError(f"x_flux = {self.x_flux!r} is not known. Write x_flux='scharfetter_gummel' or 'central'.")
        if self.precision not in ("float64", "float32"):
            raise JaxmemError(f"precision = {self.precision!r} is not known. Write precision='float64' or 'float32'.")

    def after(self, result: Any) -> "Electroconvection":
        """This march, from the last fields of a ``PlaneResult`` (or of its ``to_xarray()``, read back from disk) in place of the steady layer.

        Nothing is disturbed then, times count from zero again, and what the case asks (another voltage, kappa, salt) holds from the first step on.
        Other cells are filled linearly; a box of another length stretches the vortices. One lane serves all lanes of a case.
        """
        return eqx.tree_at(lambda m: m.start, self, last_fields(result), is_leaf=lambda x: x is None)

    def title(self) -> str:
        """Name and options, as printed."""
        return f"Electroconvection ({self.columns} x {self.rows} cells, {self.precision})"

    def sources(self) -> list[str]:
        """Where the equations come from."""
        return [
            "Rubinstein and Zaltzman 2000, doi 10.1103/PhysRevE.62.2238; Druzgalski, Andersen and Mani 2013, doi 10.1063/1.4818995.",
            "Fluxes: Scharfetter and Gummel 1969, doi 10.1109/T-ED.1969.16566.",
        ]

    def check(self, case: Case) -> None:
        """Refuse what this model cannot answer."""
        check_electric(case, "float64")
        if self.start is not None:
            self.start.over(case.batch_shape)
        if self.steady is not None and (isinstance(case.conditions, VoltageRamp) or is_channel(case)):
            raise JaxmemError(
                "Vortices at rest belong to one voltage or current beside one membrane. For a ramp or a channel leave steady=None."
            )
        if case.conditions.length is None:
            raise JaxmemError(
                "The plane needs a period along the membrane. Write jm.Voltage(0.5, thickness=1e-4, length=2e-4); one vortex pair is 1.3 to 1.7 "
                "thicknesses long (jm.onset says how long exactly)."
            )
        still = (
            is_channel(case)
            and is_concrete(case.conditions.velocity)
            and not bool(np.all(np.asarray(case.conditions.velocity) > 0.0))
        )
        if still:
            raise JaxmemError(
                "Between a cation and an anion exchanger salt only depletes where nothing flows. Write jm.Voltage(0.5, thickness=5e-4, length=2e-3, "
                "velocity=1e-4)."
            )
        if is_channel(case) and not isinstance(case.conditions, Voltage):
            raise JaxmemError(
                "A channel takes one voltage, which rises from that of no current by itself. Write jm.Voltage(...)."
            )
        box = case.conditions.length / case.conditions.thickness
        if is_concrete(box) and not bool(np.any(np.asarray(box) >= _SHORTEST_BOX)):
            raise ShapeError(
                f"The box is {float(np.ravel(np.asarray(box))[0]):.3g} thicknesses long; no vortex pair fits. Write length of 1 thickness or more."
            )

    def initial_guess(self, case: Case) -> Array:
        """The steady layer without flow, ``(*batch, 3, Ny)``: what is disturbed at first."""
        return over_lanes(lambda c: self._begin(c)[1], case)

    def layer(self, case: Case) -> tuple[Layer, Array | None]:
        """The scaled layer on the rows of the plane, whose grid is no variable; and the mean co-ions of a gap."""
        return layer_of(case, self.rows, Rows(scale=2.0, share=0.6, fixed=True))

    def _voltages(self, case: Case) -> Array:
        """Scaled, ``(V,)``; none is known where a current is imposed."""
        c, unit = case.conditions, scales(case.feed, case.conditions.thickness).potential
        if isinstance(c, CurrentDriven):
            return jnp.zeros(1)
        return jnp.atleast_1d((c.start if isinstance(c, VoltageRamp) else c.voltage) / unit)

    @eqx.filter_jit
    def find(self, case: Case) -> PlaneState:
        """March every lane; on a CPU one after the other."""
        status = input_status(case)
        short = jnp.broadcast_to(case.conditions.length / case.conditions.thickness < _SHORTEST_BOX, status.shape)
        status = jnp.where((status == code("successful")) & short, code("box_too_short"), status)
        sound = status == code("successful")
        lane = partial(self._lane, lanes=status.size)
        starts = () if self.start is None else (self.start.over(status.shape),)
        return over_lanes(lane, benign(case, sound), 1, (sound, *starts))._replace(status=status)

    def _lane(self, case: Case, sound: Array, start: Start | None = None, *, lanes: int) -> PlaneState:
        """One question of so many; without sound inputs nothing is marched."""
        layer, begin_cells, flows, arrived, drives = self._begin(case, start)
        dtype, box = jnp.dtype(self.precision), case.conditions.length / case.conditions.thickness
        plane, groups = domain(layer.grid, box, self.columns), similarity(case)
        salt = Salt(layer.charge, layer.diffusivity, layer.eps, groups.kappa, layer.low, layer.high)
        y = layer.grid.centres[:, None]
        imposed, weights = 6.0 * groups.peclet * y * (1.0 - y), weight(self.columns, is_channel(case))
        back = fringe(plane, self.columns, groups.peclet) if is_channel(case) else None
        cast = lambda tree: jax.tree.map(lambda x: x.astype(dtype), tree)
        flow = inert(plane, groups.schmidt) if self.inertia else creeping(plane)
        numbers = cast((plane, salt, flow, imposed, weights, self.longest, self.courant, back))
        setting = Setting(*numbers, Numerics(self.iterations, self.x_flux == "central", self.order))
        steps = None if self.steps is None else self.steps // self.samples
        still = jnp.zeros((self.columns // 2 + 1, self.rows - 1, 2)) if self.inertia else None
        first = Fields(*self._disturbed(begin_cells), drives.start[0], still)
        first = cast(first if start is None else resumed(start, plane, self.columns, flow))

        def go(carry: tuple, drive: Drive) -> tuple:
            fields, alive = carry
            given = (setting, fields, cast(self.duration), drive)
            s, f, duration, d = given if self.steady is None else frozen(given)
            fields, alive, seen, frames = march(
                s, f, alive, duration, self.samples, d, steps, self.progress, self.frames, lanes * drives.start.size
            )
            moves = jnp.zeros((), dtype)
            if self.steady is not None:
                fields, seen, moves = stand_still(setting, fields, drive, seen, self.steady, self.window)
            return (fields, alive), (fields, alive, seen, frames, moves)

        _, (fields, alive, seen, frames, moves) = jax.lax.scan(go, (first, arrived & sound), cast(drives))
        psi = jax.vmap(lambda f: stream_now(setting, f))(fields)
        zero = jnp.zeros((), jnp.int32)
        found = PlaneState(layer.grid.faces, fields.c, fields.phi, psi, flows, seen, alive, frames, moves, zero)
        if isinstance(case.conditions, VoltageSweep):
            return found
        take = lambda x: jax.tree.map(lambda a: a[0], x)
        return found._replace(
            c=fields.c[0],
            phi=fields.phi[0],
            psi=psi[0],
            seen=take(seen),
            alive=alive[0],
            frames=take(frames),
            moves=moves[0],
        )

    def _begin(self, case: Case, after: Start | None = None) -> tuple[Layer, Array, Array, Array, Drive]:
        """Layer, its cells at first, their current, whether they were found, and the voltage of every march against time."""
        voltages, unit = self._voltages(case), scales(case.feed, case.conditions.thickness).potential
        rate, until = jnp.zeros_like(voltages), jnp.full_like(voltages, jnp.inf)
        layer, co_ions = self.layer(case)
        if is_channel(case):
            start = at_open_circuit(layer)
            until = jnp.full_like(voltages, _RISE * self.duration)
            low = start.voltage if after is None else after.voltage
            drive = Drive(jnp.broadcast_to(low, voltages.shape), (voltages - low) / until, until)
            return layer, start.cells, jnp.zeros(()), jnp.asarray(True), drive
        if isinstance(case.conditions, CurrentDriven):
            imposed = case.conditions.current / scales(case.feed, case.conditions.thickness).current
            rest, path = carrying(layer, co_ions, imposed)
            return layer, rest.cells, imposed, path.arrived, Drive(rest.voltage[None], rate, until, imposed[None])
        rest, path = at_rest(layer, co_ions, voltages[0])
        if isinstance(case.conditions, VoltageRamp):
            rate = rate + (case.conditions.end - case.conditions.start) / unit / self.duration
        flows = current(layer, faces(layer, rest.cells, rest.voltage).flux)[0]
        return layer, rest.cells, flows, path.arrived, Drive(voltages, rate, until)

    def _disturbed(self, cells: Array) -> tuple[Array, Array, Array]:
        """Concentrations, potential and its trend of the steady layer, both ions disturbed alike."""
        if self.pairs:
            wave = jnp.asarray(np.cos(2.0 * np.pi * self.pairs * (np.arange(self.columns) + 0.5) / self.columns))
        else:
            wave = jax.random.normal(jax.random.key(self.seed), (self.columns,), jnp.float64)
        phi = jnp.broadcast_to(cells[2][:, None], (self.rows, self.columns))
        return cells[:2, :, None] * (1.0 + self.amplitude * wave), phi, jnp.zeros_like(phi)

    def residual(self, state: PlaneState, case: Case) -> Array:
        """Largest residual of the potential over the charge, and defect of the salt balance, ``(*batch, 2)``."""
        n = len(case.batch_shape)
        return jnp.stack([_worst(state.seen.unsolved, n), _worst(state.seen.unbalanced, n)], axis=-1)

    @eqx.filter_jit
    def observe(self, state: PlaneState, case: Case) -> PlaneResult:
        """The Result of every lane."""
        sound = state.status == code("successful")
        clean, shape = benign(case, sound), state.status.shape
        eps = jnp.broadcast_to(similarity(clean).eps, shape)
        wide = unresolved(state.faces, state.c.mean(-1).astype(eps.dtype), eps)
        status = jnp.where(
            _worst(worst_in(state.seen.unsolved, self.window), len(shape)) > _UNSOLVED,
            code("potential_unsolved"),
            code("successful"),
        )
        moving = jnp.max(state.moves.reshape(*shape, -1), axis=-1) > _STILL
        status = jnp.where(moving, code("not_steady"), status)
        status = jnp.where(wide, code("debye_layer_unresolved"), status)
        status = jnp.where(state.alive.reshape(*shape, -1).all(-1), status, code("blew_up"))
        status = jnp.where(sound, status, state.status)
        good = (status == code("successful")) | (status == code("potential_unsolved"))
        return PlaneResult(case=case, model=self, state=known(state, good), clean=clean, status=status)


def _worst(x: Array, batch: int) -> Array:
    return jnp.max(x.reshape(*x.shape[:batch], -1), axis=-1)
