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
# Everything depends on two numbers, eps (Debye length over thickness) and kappa (electric over viscous force), and on the voltage. Growth rates and
# the onset have exact derivatives: in a fluid of lower viscosity (higher kappa) disturbances grow faster.

# %%
small = jm.NernstPlanckPoisson(48)
groups = jm.Groups(jm.debye(eps=1e-2), 0.5)
onset = jm.onset(small, groups.case(membrane, voltage=20.0))
print(onset)


def growth(log_kappa):
    case = jm.Groups(jm.debye(eps=1e-2), jnp.exp(log_kappa)).case(membrane, voltage=25.0)
    return jm.growth_rate(small, case, onset.scaled_wavenumber / case.conditions.thickness).scaled_rate[0]


rate, slope = jax.value_and_grad(growth)(jnp.log(0.5))
print(
    f"at 25 RT/F a pair grows by exp({float(rate):.1f} t); each per cent less viscosity adds {0.01 * float(slope):.2f}"
)

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
assert abs(float(onset.scaled_voltage) - 22.4) < 0.3
assert float(slope) > 0.0
assert float(vortices.salt_closure) < 1e-12

# %% [markdown]
# ## The same at once
#
# Networks trained on 512 curves, marched over eps, kappa, flow, diffusivities and box, give current, vortex diameter and plateau length with intervals,
# and say when a question lies beyond their training. Their current at rest is the physics above.

# %%
net = jm.vortex_networks()
swept = jm.Groups(jm.debye(eps=9e-3), 0.5).case(membrane, sweep=jnp.arange(19.0, 35.0, 2.0), box=1.73)
answer = jm.solve(net, swept)
print(answer)
one = jm.solve(net, jm.Groups(jm.debye(eps=9.9e-3), 0.5).case(membrane, voltage=30.0, box=1.73))
print(f"network {float(one.scaled_current.value):.3f}, marched {float(vortices.scaled_current.value):.3f}")
assert abs(float(one.scaled_current.value / vortices.scaled_current.value) - 1.0) < 0.03
assert not bool(answer.outside.any())
