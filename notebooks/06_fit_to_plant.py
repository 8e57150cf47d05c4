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
# # 06 From the laboratory to a plant
#
# Rejections of NF270 in four salts, the membrane fitted to them, a vessel of that membrane, what the errors of the measurement make of the vessel, and its
# best operating point. Set `JAXMEM_DATA` to a CSV of measured rejections to use those; without it, the measurements are made here, from the published
# fit of this membrane with 3 % of noise on what passes.

# %%
import os
from pathlib import Path

import jax.numpy as jnp
import numpy as np

import jaxmem as jm
from jaxmem.units import LMH_per_bar, bar, m3_per_h, um_per_s

path = os.environ.get("JAXMEM_DATA", "")
if Path(path).is_file():
    data = jm.dataset(path)
else:
    truth = jm.membrane("NF270-SDEM")
    salts = {"NaCl": {"Na+": 10.0, "Cl-": 10.0}, "MgCl2": {"Mg+2": 10.0, "Cl-": 20.0},
             "Na2SO4": {"Na+": 20.0, "SO4-2": 10.0}, "MgSO4": {"Mg+2": 10.0, "SO4-2": 10.0}}  # fmt: skip
    traces = dict.fromkeys(truth.names, 0.0) | {"NH4+": 0.2, "NO3-": 0.2}
    rows = np.array([[(traces | salt)[name] for name in truth.names] for salt in salts.values()])
    fluxes = jm.FluxDriven(jnp.tile(jnp.linspace(8.0, 56.0, 7) * um_per_s, 4))
    asked = jm.Case(jm.Mixture(jm.species(*truth.names), rows.repeat(7, axis=0)), truth, fluxes)
    passage = 1.0 - jm.solve(jm.SDEM(), asked).real_rejection
    seen = 1.0 - passage * np.exp(0.03 * np.random.default_rng(0).standard_normal(passage.shape))
    seen = jnp.where(asked.feed.concentration > 0.0, seen, jnp.nan)
    data = jm.Dataset(asked, seen, jnp.full_like(seen, 0.03), "real", tuple(name for name in salts for _ in range(7)))
print(data)

# %% [markdown]
# ## The membrane
#
# A permeance of each ion, and a potential of the membrane that differs between waters, by two numbers.

# %%
names = data.case.feed.species.names
law = jm.DonnanShift(1.0, -1.0)
start = jm.PermeanceMembrane.of(dict.fromkeys(names, 1e-5), law=law, water_permeance=12 * LMH_per_bar)
free = jm.Free(permeance=jm.LogInterval(1e-9, 1e-2), cation=jm.Interval(-4.0, 4.0), anion=jm.Interval(-4.0, 4.0))
found = jm.fit(jm.SDEM(), data.on(start), free, noise=jm.AbsoluteRejection(0.05, own=False), starts=8)
print(found)
axes = found.plot.parity()

# %% [markdown]
# ## What to measure next
#
# Which feed, at which flux, would tell most of ammonium?

# %%
wide = jnp.geomspace(1e-6, 1e-4, 25)
feeds = {name: data.feed_group.index(name) for name in dict.fromkeys(data.feed_group)}
again = jm.Mixture(
    data.case.feed.species, np.repeat(np.asarray(data.case.feed.concentration)[[*feeds.values()]], 25, axis=0)
)
candidates = jm.Case(again, start, jm.FluxDriven(jnp.tile(wide, len(feeds))))
print(found.propose("permeance NH4+", candidates))

# %% [markdown]
# ## A vessel of four elements of this membrane
#
# The errors of the fit go through the vessel with exact derivatives: one standard error of every rejection, and of the recovery.

# %%
feed = jm.Mixture.from_concentration({"Na+": 30.0, "Mg+2": 10.0, "Cl-": 50.0})
vessel = jm.Vessel(jm.SpiralElement(found.case.membrane, area=37.0, length=0.96), 4)
plant = jm.Case(feed, vessel, jm.FeedPressure(6 * bar, 12 * m3_per_h, pump=jm.Pump(0.8)))
model = jm.SpiralWoundIons(jm.SDEM())
print(jm.solve(model, plant))
value, error = found.predict(lambda r: jnp.append(r.observed_rejection, r.recovery), plant, model)
for name, v, e in zip((*feed.species.names, "recovery"), value, error, strict=True):
    print(f"{name:<9} {100 * v:6.2f} +- {100 * e:.2f} %")

# %% [markdown]
# ## The least energy for 4 m3/h of which 45 % of the magnesium is rejected

# %%
may = jm.Free(pressure=jm.Interval(2 * bar, 20 * bar), flow=jm.LogInterval(6 * m3_per_h, 16 * m3_per_h))
enough = jm.at_least(lambda r: r.permeate_flow * 3600, 4.0, "permeate, m3/h")
soft = jm.at_least(lambda r: r.observed_rejection[..., 1], 0.45, "magnesium rejection")
best = jm.optimise(model, plant, may, lambda r: r.specific_energy / 3.6e6, [enough, soft], starts=4)
print(best)
assert best.optimal
assert best.kkt < 1e-6
axes = best.result.plot.profiles()
Path("out").mkdir(exist_ok=True)
axes[0].figure.savefig("out/design_nf270_vessel.png", bbox_inches="tight")
