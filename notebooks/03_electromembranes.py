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
# # 03 Electromembranes: from Ohm's law to vortices
#
# A voltage drives cations through a membrane that anions cannot pass. The solution before it runs out of salt, then of neutrality, then of rest.

# %%
import jax
import jax.numpy as jnp

import jaxmem as jm
from jaxmem.units import um

salt = jm.Mixture.from_concentration({"K+": 0.1, "Cl-": 0.1})
membrane = jm.IonExchangeMembrane("cations")
model = jm.NernstPlanckPoisson()
curve = jm.solve(model, jm.Case(salt, membrane, jm.VoltageSweep(jnp.linspace(0.02, 1.5, 60), 20 * um)))
print(curve)
curve.plot.curve()

# %% [markdown]
# At 1 V the space charge has left the wall: cations alone stand in a layer much thicker than the Debye length.

# %%
curve.plot.profiles(point=39)
print(
    f"space charge {float(curve.space_charge_thickness[39]):.3f} of the layer, Debye length {float(curve.groups.eps):.4f}"
)

# %% [markdown]
# ## When does it begin to move?
#
# Everything depends on two numbers, eps (Debye length over thickness) and kappa (electric over viscous force), and on the voltage. The onset has
# exact derivatives: a fluid of half the viscosity (twice kappa) moves earlier.

# %%
small = jm.NernstPlanckPoisson(48)


def critical(log_kappa):
    case = jm.Groups(jm.debye(eps=1e-2), jnp.exp(log_kappa)).case(membrane, voltage=20.0)
    return jm.onset(small, case).scaled_voltage


onset, slope = jax.value_and_grad(critical)(jnp.log(0.5))
print(f"onset at {float(onset):.2f} RT/F; each per cent of viscosity moves it by {-0.01 * float(slope):+.3f} RT/F")

# %% [markdown]
# ## Vortices

# %%
case = jm.Groups(jm.debye(eps=1e-2), 0.5).case(membrane, voltage=30.0, box=1.73)
vortices = jm.solve(jm.Electroconvection(columns=32, rows=48, duration=0.45, window=0.2), case)
print(vortices)
vortices.plot.fields("salt")

# %%
gain = float(vortices.scaled_current.value / vortices.state.at_rest)
print(
    f"vortices of {float(vortices.vortex_diameter):.2f} thicknesses carry {100 * (gain - 1):.0f} % more current than rest"
)
assert 1.28 < gain < 1.38
assert abs(float(onset) - 22.4) < 0.3
assert float(vortices.salt_closure) < 1e-12
