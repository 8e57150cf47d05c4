# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 05 Design: a membrane for lithium
#
# A brine holds lithium and magnesium. Which charge and pore keep the magnesium and let the lithium pass, and what does that cost in flux?
# All derivatives are exact, and all starts of the search are lanes of one batch.

# %%
from pathlib import Path

import jax.numpy as jnp

import jaxmem as jm
from jaxmem.plot.style import new_axes
from jaxmem.units import LMH, bar

brine = jm.Mixture.from_concentration({"Li+": 40.0, "Mg+2": 60.0, "Cl-": 160.0})
case = jm.Case(brine, jm.membrane("NF270"), jm.PressureDriven(10 * bar, jm.film("D^(2/3)", 4e-5)))
free = jm.Free(charge_density=jm.Interval(-200.0, 300.0), pore_radius=jm.LogInterval(0.4e-9, 0.9e-9))


def magnesium_per_lithium(r):
    """ln of the ratio of what passes, to be small."""
    return jnp.log(r.passage[..., 1] / r.passage[..., 0])


def flux(r):
    """In LMH."""
    return r.volume_flux / LMH


def keep(axes, name):
    """The figure as a file in out/, for whoever runs this as a script."""
    Path("out").mkdir(exist_ok=True)
    axes.figure.savefig(Path("out") / name, bbox_inches="tight")


lithium = jm.at_most(lambda r: r.observed_rejection[..., 0], 0.3, "lithium rejection")

# %% [markdown]
# ## The most selective membrane that passes 60 LMH

# %%
best = jm.optimise(
    jm.DSPMDE(), case, free, magnesium_per_lithium, [lithium, jm.at_least(flux, 60.0, "flux, LMH")], starts=16
)
print(best)
print(best.result)

# %% [markdown]
# The multiplier of the flux is the price of one more LMH, in the logarithm of the selectivity. A positively charged membrane does it best: the Donnan potential
# pushes the divalent cation out twice as hard as the monovalent one.

# %% [markdown]
# ## What flux costs
#
# Sixteen levels of flux, each a problem of its own, all in one batch. Where the line bends the widest pore that is allowed takes over.

# %%
front = jm.pareto(jm.DSPMDE(), case, free, magnesium_per_lithium, lambda r: -flux(r), [lithium], points=16)
print(front)
axes = front.plot(colour="charge_density")
axes.set_xlabel("minus flux (LMH)")
axes.set_ylabel("ln(Mg passage / Li passage)")
keep(axes, "design_lithium.png")

# %% [markdown]
# An optimum of a model is a proposal: sixteen membranes around it show how sharp it is.

# %%
near = best.case.replace(charge_density=jnp.linspace(0.5, 1.5, 16) * best.case.membrane.charge_density)
print(jnp.round(magnesium_per_lithium(jm.solve(jm.DSPMDE(), near)), 3))

# %% [markdown]
# ## Where in the pore the charge belongs
#
# A pore need not be charged alike all the way: layers can be coated one by one. Four slices of one pore, at a given flux, each with a charge of its own, against
# one charge for all of them.

# %%
pore = jm.PoreMembrane(0.5e-9, 1.2e-6, 20.0, 45.0)
given = jm.FluxDriven(40 * LMH, jm.film("D^(2/3)", 4e-5))
slices = jm.Case(brine, jm.LayeredMembrane.graded(pore, charge_density=jnp.full(4, 20.0)), given)
each = jm.Free({f"membrane.layers.{i}.charge_density": jm.Interval(-200.0, 300.0) for i in range(4)})
model = jm.DSPMDE(activity="ideal")
alike = jm.optimise(
    model,
    jm.Case(brine, pore, given),
    jm.Free(charge_density=jm.Interval(-200.0, 300.0)),
    magnesium_per_lithium,
    [lithium],
    starts=4,
)
graded = jm.optimise(model, slices, each, magnesium_per_lithium, [lithium], starts=6)
print(alike)
print(graded)
gain = float(jnp.exp(alike.objective - graded.objective))
print(f"Lithium over magnesium in the permeate, graded over uniform charge: {gain:.1f}")
assert gain > 2.0

# %% [markdown]
# The charge belongs in a skin at the feed, where it turns magnesium away; behind it a pore of next to no charge lets lithium pass. Both membranes keep 30 % of the lithium.

# %%
axes = new_axes("screen")
edges = jnp.linspace(0.0, 1.0, 5)
axes.stairs(graded.value, edges, label="four slices", lw=2)
axes.stairs(jnp.full(4, alike.value[0]), edges, label="one charge", lw=2)
axes.set(xlabel="Position in the pore, feed side left", ylabel="Charge (mol/m3)")
axes.legend(frameon=False)
keep(axes, "design_charge_profile.png")
