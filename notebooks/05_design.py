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
import jax.numpy as jnp

import jaxmem as jm
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

# %% [markdown]
# An optimum of a model is a proposal: sixteen membranes around it show how sharp it is.

# %%
near = best.case.replace(charge_density=jnp.linspace(0.5, 1.5, 16) * best.case.membrane.charge_density)
print(jnp.round(magnesium_per_lithium(jm.solve(jm.DSPMDE(), near)), 3))
