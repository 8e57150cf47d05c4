"""What became of each lane: one sentence per code, what happened and what to try."""

from typing import Any

import numpy as np
import optimistix as optx


class STATUS(optx.RESULTS):  # pyright: ignore[reportGeneralTypeIssues]  # equinox enumerations extend by subclassing
    """Outcome of a solve per lane, extending ``optimistix.RESULTS``. Results hold the integer codes."""

    no_solution_found = (
        "No permeate was found that closes the ion balances, not even by raising the flux step by step; the last finite "
        "state is kept. Try a smaller flux or pressure, film='nernst_planck' or activity='ideal'."
    )
    solute_fills_pore = (
        "A solute is as large as the pore (Stokes radius >= pore radius) and cannot enter it. Try a larger pore_radius, or "
        "leave the solute out."
    )
    charge_imbalance = "The feed carries a net charge. Try Mixture(..., balance='Cl-')."
    outside_model = (
        "An input is outside the model: a negative or non-finite concentration, flux, pressure, thickness or permittivity. "
        "Check the inputs of this lane."
    )
    accuracy_not_reached = (
        "Solved, but the estimated discretisation error stays above the tolerance on the finest grids. Look at "
        "result.error_estimate; the Peclet number is extreme, or along a channel there are too few cells."
    )
    no_solute = "The feed of this lane holds no solute at all: there is nothing to reject. Leave the lane out."
    below_osmotic_pressure = (
        "The feed pressure is below the osmotic pressure of the feed (over the permeate pressure): nothing but a leak of salty water "
        "passes. Try a higher pressure (where recovery is imposed: more of it, or less area), or a weaker feed."
    )
    pressure_spent = "Friction uses up the feed pressure before the end of the channel. Try a lower flow, a higher spacer or fewer elements."
    recovery_out_of_reach = (
        "No pressure up to 1000 bar (or, where the area is asked for, no area without an end that only leaks) gives this recovery or flux. Try a smaller recovery, more "
        "pressure or area, or a lower feed flow."
    )
    channel_runs_dry = (
        "The channel runs dry: nearly all water has passed before its end. Try a smaller pressure or area, a higher feed flow, or, where "
        "it should not run dry, more cells."
    )
    ill_posed_boundary = (
        "The outlet condition sits where the solution's exponential has decayed below round-off (amplification above 4e15). Try TotalFlux "
        "or Dirichlet at the outlet, or the film's length as the domain."
    )
    layer_unresolved = (
        "The concentrated layer at the membrane is thinner than the cells of the mesh there, so that its profile means nothing. Try more "
        "elements, a smaller ratio of their sizes, or a smaller flux."
    )
    wall_reynolds_number = "The wall Reynolds number v_w h/nu exceeds 1: the flow is not the one this model assumes. Try a smaller flux or height."
    no_steady_state = "No steady profile was found: with this diffusivity the salt that arrives cannot diffuse back. Try a thinner layer or a smaller velocity."
    current_out_of_reach = "No voltage up to 1000 thermal voltages carries this current. Try a smaller current density, a stronger solution or a thinner layer."
    continuation_stopped = (
        "Newton along the voltage came to a halt before the voltage that was asked for; the last state that converged is kept. Try more "
        "cells, or a smaller voltage."
    )
    blew_up = (
        "The march blew up, its step shrank to nothing, or equal steps crossed more than a cell; the last finite fields are kept. Try a smaller longest step or "
        "courant (or more steps), more rows, or a smaller voltage."
    )
    box_too_short = "The box is shorter than 0.3 thicknesses: no vortex pair fits. Try a length of 1.3 to 1.7 thicknesses for each pair."
    not_steady = (
        "The vortices do not stand still beside the end of the march: no fixed point was found, and derivatives of it mean nothing. Try a longer "
        "duration, a smaller voltage, a box with one pair of vortices, or steady=None."
    )
    potential_unsolved = (
        "Solved, but the potential of some step was left with a residual above 2 % of the charge: currents may be plausible and wrong. Try more "
        "iterations (10 or 16) or a smaller longest step."
    )
    debye_layer_unresolved = (
        "The cells at the wall are wider than 0.7 Debye lengths, or than 3 of the salt that gathers there below the voltage of no current, so that the space "
        "charge means nothing. Try two to four times the cells (of a plane, rows), a larger eps (a weaker solution, a thinner layer), or the other sign of the voltage."
    )
    charge_without_ions = (
        "The pore is charged and the feed has no ions to balance it. Try charge_density=0, or add ions to the feed."
    )
    diffusivity_not_positive = (
        "The diffusivity is zero or negative somewhere in the profile, by its law of concentration. Try jm.ExponentialDiffusivity, which "
        "stays positive, or a smaller alpha."
    )


def code(name: str) -> int:
    """The integer that results hold for a name, for example ``code("successful")``: 0."""
    return int(getattr(STATUS, name)._value)


def names() -> dict[int, str]:
    """Of every integer code."""
    return {code(name): name for name in STATUS._name_to_item}  # pyright: ignore[reportAttributeAccessIssue]


def message(number: int) -> str:
    """The sentence that belongs to an integer code."""
    return STATUS[getattr(STATUS, names()[int(number)])] or "Solved."


def tally(status: Any) -> dict[str, int]:
    """Sentences of the codes that occur, and how often."""
    codes, counts = np.unique(np.asarray(status), return_counts=True)
    return {message(int(c)): int(n) for c, n in zip(codes, counts, strict=True)}
