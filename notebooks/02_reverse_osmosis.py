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
# # 02 Reverse osmosis: from the boundary layer to the pressure vessel
#
# A layer of solution on a membrane, solved by finite elements together with the flux that it throttles.

# %%
import jax
import jax.numpy as jnp

import jaxmem as jm
from jaxmem.units import LMH, bar, m3_per_h, um

salt = 32.0 / 0.05844  # mol/m3
feed = jm.Mixture.from_concentration({"Na+": salt, "Cl-": salt})
membrane = jm.SolutionDiffusionMembrane(1.5 * jm.units.LMH_per_bar, 7e-8)
thickness = jnp.array([1.0, 25.0, 50.0, 75.0]) * um
layer = jm.solve(jm.ADMSDM(), jm.Case(feed, membrane, jm.PressedLayer(55 * bar, thickness, 1.5e-9)))
for row in zip(thickness / um, layer.volume_flux / LMH, layer.polarisation_modulus, strict=True):
    print("{:4.0f} um  {:5.1f} LMH  c_m/c_b {:.3f}".format(*map(float, row)))

# %% [markdown]
# The layer takes up to a half of the flux: polarisation is the largest effect that a plain solution-diffusion estimate leaves out.
#
# ## An outlet condition that double precision cannot hold is refused

# %%
try:
    jm.solve(jm.ADM(sign="eq23"), jm.Case(feed, None, jm.Layer(0.356, 0.01, 1e-5, jm.fem.Gradient(0.0))))
except jm.IllPosedBoundaryError as error:
    print(error)

# %% [markdown]
# ## A vessel of six elements

# %%
vessel = jm.Vessel(jm.element("SW30HRLE-400"), 6)
pump = jm.Pump(0.88, 0.95)
plant = jm.Case(feed, vessel, jm.Recovery(0.45, 9 * m3_per_h, pump=pump))
result = jm.solve(jm.SpiralWound(), plant)
print(result)
result.plot.profiles()

# %% [markdown]
# ## What would a better membrane save? One derivative.


# %%
def energy(permeance):
    element = jm.element("SW30HRLE-400", membrane=jm.SolutionDiffusionMembrane(permeance, 1.48e-8))
    case = jm.Case(feed, jm.Vessel(element, 6), plant.conditions)
    return jm.solve(jm.SpiralWound(), case, throw=False).specific_energy / 3.6e6


value, slope = jax.value_and_grad(energy)(3.86e-12)
print(f"{float(value):.3f} kWh/m3; ten per cent more A saves {-float(slope) * 3.86e-13:.4f} kWh/m3")

# %%
assert bool(layer.ok.all())
assert abs(float(layer.volume_flux[2] / layer.volume_flux[0]) - 0.75) < 0.1
assert abs(float(result.salt_closure)) < 1e-10
assert 1.8 < float(value) < 2.4
assert float(slope) < 0.0
