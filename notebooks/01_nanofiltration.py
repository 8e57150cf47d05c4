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
# # 01 Nanofiltration: what passes a charged pore, and why
#
# A feed, a membrane, conditions: one question. Leading axes make it many, and the same call answers them all.

# %%
import jax
import jax.numpy as jnp

import jaxmem as jm
from jaxmem.units import LMH, bar, nm

feed = jm.feed("brackish8")
case = jm.Case(feed, jm.membrane("NF270"), jm.FluxDriven(jnp.linspace(1, 100, 32) * LMH, jm.film("D^(2/3)", 4e-5)))
result = jm.solve(jm.DSPMDE(), case)
print(result)

# %% [markdown]
# Sulfate is kept out by charge and by the dielectric barrier. At low flux chloride and nitrate are rejected *negatively*:
# the permeate must stay neutral, and the mobile anions pass in place of sulfate.

# %%
result.plot.rejection()

# %%
result.plot.profiles(lane=10)

# %% [markdown]
# ## Where the numbers come from
# Parameter sets are starting values, each with its source and a warning.

# %%
for line in jm.citations(result)[:4]:
    print(line)

# %% [markdown]
# ## Gradients of everything to everything
# How does the rejection of sodium respond to the membrane? One reverse pass gives all of it, exactly.


# %%
def sodium(membrane):
    solved = jm.solve(jm.DSPMDE(), jm.Case(feed, membrane, case.conditions), throw=False)
    return solved.observed_rejection[16, 0]


value, slope = jax.value_and_grad(sodium)(jm.membrane("NF270"))
print(f"R(Na+) = {value:.4f}")
print(f"dR per 0.01 nm of pore radius    {slope.pore_radius * 0.01 * nm:+.4f}")
print(f"dR per 10 mol/m3 of charge       {slope.charge_density * 10:+.4f}")

# %% [markdown]
# Against a central difference:

# %%
wall = jm.membrane("NF270")
h = 1e-4 * wall.pore_radius
difference = (
    sodium(jm.membrane("NF270", pore_radius=wall.pore_radius + h))
    - sodium(jm.membrane("NF270", pore_radius=wall.pore_radius - h))
) / (2 * h)
print(f"adjoint {slope.pore_radius:.8e}, difference {difference:.8e}")
assert abs(slope.pore_radius / difference - 1) < 1e-6

# %% [markdown]
# ## Pressure instead of flux
# The same point, asked the other way round, gives the same flux.

# %%
pressure = jm.solve(jm.DSPMDE(), jm.Case(feed, wall, jm.PressureDriven(result.pressure, jm.film("D^(2/3)", 4e-5))))
print(f"{float(pressure.pressure[16] / bar):.2f} bar drives {float(pressure.volume_flux[16] / LMH):.2f} LMH")
assert jnp.max(jnp.abs(pressure.volume_flux / result.volume_flux - 1)) < 1e-8
assert float(result.observed_rejection.min()) < 0.0
