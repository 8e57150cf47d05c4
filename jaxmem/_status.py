"""What became of each lane: one sentence per code, what happened and what to try."""

import equinox.internal as eqxi
import optimistix as optx


class STATUS(optx.RESULTS):  # pyright: ignore[reportGeneralTypeIssues]  # equinox enumerations extend by subclassing
    """Outcome of a solve per lane; extends ``optimistix.RESULTS``. ``STATUS[code]`` is the sentence."""

    no_solution_found = (
        "No permeate was found that closes the ion balances, not even by raising the flux step by step. The last finite "
        "state is kept. Try a smaller flux or pressure, film='nernst_planck', or activity='ideal'."
    )
    solute_fills_pore = (
        "A solute is as large as the pore (Stokes radius >= pore radius) and cannot enter. Try a larger pore_radius or "
        "leave the solute out."
    )
    charge_imbalance = "The feed carries a net charge. Try Mixture(..., balance='Cl-')."
    outside_model = (
        "An input is outside the model: a negative or non-finite concentration, flux, pressure, thickness or "
        "permittivity. Check the inputs of this lane."
    )
    accuracy_not_reached = (
        "Solved, but the estimated discretisation error is above the tolerance on the finest grids. Look at "
        "result.error_estimate; the Peclet number is extreme."
    )
    charge_without_ions = (
        "The pore is charged but the feed has no ions to balance it. Try charge_density=0 or add ions to the feed."
    )


SOLVED = STATUS.successful


def code(item) -> int:
    """The integer of an enumeration item, for arrays of codes."""
    return int(item._value)


def message(number: int) -> str:
    """The sentence that belongs to an integer code."""
    for name in STATUS._name_to_item:  # pyright: ignore[reportAttributeAccessIssue]
        item = STATUS._name_to_item[name]  # pyright: ignore[reportAttributeAccessIssue]
        if code(item) == number:
            return STATUS[item] or "Solved."
    raise KeyError(number)


__all__ = ["SOLVED", "STATUS", "code", "eqxi", "message"]
