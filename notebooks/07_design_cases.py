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
# # 07 Design cases: a desalination plant and an electromembrane
#
# Two questions of designers, each by exact gradients from several starts in one batch: pressure, booster, flow and spacer of a plant in two stages; and the
# operating point of an ion-exchange membrane beyond its limiting current, found with networks and checked by the simulation that they were trained on.

# %%
from pathlib import Path

import jax.numpy as jnp
import numpy as np

import jaxmem as jm
from jaxmem.plot.style import new_axes
from jaxmem.units import bar, m3_per_h

# %% [markdown]
# ## Least energy for 8 m3/h of fresh water at 40 % recovery
#
# Two vessels of four elements, then one, with a booster between them and an energy recovery device. Free are the pressures, the feed flow and the
# height of the feed spacer of the first stage; the permeate holds at most 0.2 kg/m3.

# %%
salt = 32.0 / 0.05844
sea = jm.Mixture.from_concentration({"Na+": salt, "Cl-": salt})
vessel = jm.Vessel(jm.element("SW30HRLE-400"), 4)
stages = (jm.Stage(vessel, vessels=2), jm.Stage(vessel, vessels=1, booster=5 * bar))
plant = jm.Case(sea, jm.Train(stages), jm.FeedPressure(58 * bar, 20 * m3_per_h, pump=jm.Pump(0.88, 0.95)))
free = jm.Free(
    {
        "conditions.pressure": jm.Interval(40 * bar, 70 * bar),
        "conditions.flow": jm.LogInterval(12 * m3_per_h, 30 * m3_per_h),
        "membrane.stages.1.booster": jm.Interval(0.0, 20 * bar),
        "membrane.stages.0.vessel.element.spacer_height": jm.LogInterval(0.5e-3, 1.2e-3),
    }
)
asked = [
    jm.equal_to(lambda r: r.recovery, 0.40, "recovery"),
    jm.at_least(lambda r: r.permeate_flow * 3600, 8.0, "permeate, m3/h"),
    jm.at_most(lambda r: r.permeate_concentration, 0.2, "permeate salt, kg/m3"),
]
best = jm.optimise(jm.ReverseOsmosisTrain(), plant, free, lambda r: r.specific_energy / 3.6e6, asked, starts=6)
print(best)
print(best.result)
assert best.optimal
assert best.kkt < 1e-6
axes = best.result.plot.profiles()
Path("out").mkdir(exist_ok=True)
axes[0, 0].figure.savefig("out/design_plant.png", bbox_inches="tight")

# %% [markdown]
# ## Most current per energy beyond the limit
#
# A layer of 0.1 mm before a cation exchanger. Salt is removed in proportion to the current, at the price of the voltage (kWh per mole of charge). Which voltage
# and cross-flow pass 3.4 times F D c0/L for the least energy? The networks answer with intervals; the plane is marched at their optimum.

# %%
groups = jm.Groups(4e-3, 0.5, peclet=10.0)
layer = groups.case(jm.IonExchangeMembrane(), voltage=26.0, box=1.5)
unit, speed = float(layer.conditions.voltage) / 26.0, float(layer.conditions.velocity) / 10.0
may = jm.Free(
    {
        "conditions.voltage": jm.Interval(18 * unit, 34 * unit),
        "conditions.velocity": jm.LogInterval(1.0 * speed, 30 * speed),
    }
)
energy = lambda r: r.case.conditions.voltage * 96485.33 / 3.6e6
enough = jm.at_least(lambda r: r.scaled_current.value, 3.4, "current, F D c0/L")
point = jm.optimise(jm.vortex_networks(), layer, may, energy, [enough], starts=8)
print(point)
assert point.optimal
assert point.kkt < 1e-6
volts, peclet = (float(x) / s for x, s in zip(point.value, (unit, speed), strict=True))
print(f"{volts:.1f} RT/F at Pe {peclet:.1f}; outside of the training: {bool(point.result.outside)}")

# %%
there = jm.Groups(4e-3, 0.5, peclet=peclet)
marched = jm.solve(
    jm.Electroconvection(columns=24, rows=48, duration=0.25),
    there.case(jm.IonExchangeMembrane(), sweep=jnp.asarray([volts + 4.0, volts]), box=1.5),
)
found, told = float(marched.scaled_current.value[1]), point.result.scaled_current
print(f"networks {float(told.value):.3f} +- {float(told.interval):.3f}, marched {found:.3f} F D c0/L")
assert abs(found / float(told.value) - 1.0) < 0.06

# %%
many = layer.replace(voltage=jnp.linspace(18, 34, 60) * unit, velocity=jnp.asarray([[1.0], [5.0], [30.0]]) * speed)
drawn = jm.solve(jm.vortex_networks(), many)
axes = new_axes()
for i, p in enumerate((1, 5, 30)):
    axes.plot(np.linspace(18, 34, 60), drawn.scaled_current.value[i], label=f"networks, Pe {p}")
axes.plot(volts, float(told.value), "o", color="k", ms=7, label="optimum")
axes.plot(volts, found, "x", color="k", ms=8, label="marched there")
axes.axhline(3.4, color="0.5", lw=0.8)
axes.set(xlabel="Voltage (RT/F)", ylabel="Current (F D c0/L)")
axes.legend()
axes.figure.savefig("out/design_electromembrane.png", bbox_inches="tight")
