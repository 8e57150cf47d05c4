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
# # 04 Learning: a closure trained through the solver
#
# No constant membrane describes four salts. Here a small network takes the place of one closure, everything around it stays physics, and it is trained
# by exact gradients through the transport equations. Set `JAXMEM_DATA` to a CSV of measured rejections to use those; without it, the notebook
# makes its own measurements of a membrane whose potential follows the water.

# %%
import os
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import jaxmem as jm
from jaxmem.units import um_per_s

path = os.environ.get("JAXMEM_DATA", "")
if Path(path).is_file():
    data = jm.dataset(path)
else:
    truth = jm.PermeanceMembrane.of(
        {"Na+": 3e-4, "NH4+": 6e-4, "Mg+2": 1e-4, "Cl-": 5e-6, "NO3-": 1.3e-5, "SO4-2": 1e-7},
        law=jm.DonnanShift(1.6, -0.6),
    )
    salts = {"NaCl": ("Na+", 10.0, "Cl-", 10.0), "MgCl2": ("Mg+2", 10.0, "Cl-", 20.0),
             "Na2SO4": ("Na+", 20.0, "SO4-2", 10.0), "MgSO4": ("Mg+2", 10.0, "SO4-2", 10.0)}  # fmt: skip
    rows = []
    for cation, c, anion, a in salts.values():
        amount = dict.fromkeys(truth.names, 0.0) | {"NH4+": 0.2, "NO3-": 0.2}
        amount[cation] += c
        amount[anion] += a
        rows += [[amount[n] for n in truth.names]] * 7
    flux = jnp.tile(jnp.linspace(8.0, 56.0, 7) * um_per_s, 4)
    asked = jm.Case(jm.Mixture(jm.species(*truth.names), np.array(rows)), truth, jm.FluxDriven(flux))
    exact = jm.solve(jm.SDEM(), asked).real_rejection
    noise = 0.02 * jax.random.normal(jax.random.key(1), exact.shape)
    seen = jnp.where(asked.feed.concentration > 0.0, jnp.minimum(exact + noise, 0.999), jnp.nan)
    data = jm.Dataset(asked, seen, jnp.full_like(seen, 0.02), "real", tuple(np.repeat(list(salts), 7)))
print(data)

# %% [markdown]
# ## First physics alone
#
# Six permeances, one for each ion, by least squares from several starts.

# %%
noise = jm.AbsoluteRejection(0.05, own=False)
names = data.case.feed.species.names
constant = jm.PermeanceMembrane.of(dict.fromkeys(names, 1e-5))
free = jm.Free(permeance=jm.LogInterval(1e-9, 1e-2))
fitted = jm.fit(jm.SDEM(), data.on(constant), free, noise=noise, starts=4)
print(fitted)

# %% [markdown]
# ## Then one closure learns
#
# `LearnedShift` lets the membrane's potential follow the water: one network of two layers, zero at the start. The permeances move with it. Two fluxes
# of each feed are not trained on: they choose the best state, so the error on them flatters a little.

# %%
start = jm.PermeanceMembrane.of(dict.fromkeys(names, 1e-5), law=jm.LearnedShift.new(jax.random.key(0), width=8))
held = np.zeros(len(data.feed_group), bool)
held[3::7] = held[5::7] = True
trained = jm.train(jm.SDEM(), data.on(start), free=free, noise=noise, held=held, steps=400, rate=5e-2)
print(trained)


# %%
def rmse(result: object, rows: np.ndarray) -> float:
    return float(np.sqrt(np.nanmean((np.asarray(result.real_rejection) - np.asarray(data.rejection))[rows] ** 2)))


for name, result in (("constant permeances", fitted.result), ("learned shift", trained.result)):
    print(f"{name:<20} RMSE {rmse(result, ~held):.3f}   held-out fluxes {rmse(result, held):.3f}")

# %%
figure, axes = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained", sharey=True)
for axis, (name, result) in zip(axes, (("constant", fitted.result), ("learned", trained.result)), strict=True):
    axis.plot([-1.6, 1], [-1.6, 1], color="0.6", lw=1)
    axis.plot(data.rejection.ravel(), result.real_rejection.ravel(), "o", ms=4)
    axis.set(title=name, xlabel="measured rejection", ylim=(-1.7, 1.1))
axes[0].set_ylabel("computed")
plt.show()

# %% [markdown]
# ## What it learned
#
# The shift is a number for each water, and may be read like any other closure. The last water was not measured: half of the magnesium chloride is
# replaced by sodium chloride.

# %%
law = trained.case.membrane.law
shift = law.shift(data.case.feed)
for name in dict.fromkeys(data.feed_group):
    print(f"{name:<30.30} shift {float(shift[data.feed_group.index(name)]):+.2f}")
mixed = jm.Mixture.from_concentration({"Na+": 10.0, "Mg+2": 5.0, "Cl-": 20.0})
print(f"{'half of the magnesium':<30} shift {float(law.shift(mixed)):+.2f}")
assert rmse(trained.result, held) < 0.5 * rmse(fitted.result, held)
