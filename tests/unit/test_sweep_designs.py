"""Designs, plans, second attempts, and many writers or devices of one study."""

import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmem as jm
from jaxmem.sweep.manifest import fingerprint

from .test_sweep import CASE, MODEL, SWEEP, case, digest, run

FREE = jm.Free(reflection=jm.Interval(0.5, 0.99), permeability=jm.LogInterval(1e-8, 1e-5))


@pytest.mark.parametrize("design", [jm.Grid(4, 8), jm.Random(32), jm.LatinHypercube(32, seed=3), jm.Sobol(32)])
def test_designs_fill_the_bounds(design: object, tmp_path: Path) -> None:
    study = jm.sweep(MODEL, case(3), free=FREE, design=design, store=tmp_path / "s.zarr", chunk=40)
    lead = (4, 8) if isinstance(design, jm.Grid) else (32,)
    assert study.shape == (*lead, 3)
    assert study.complete
    sigma, b = (study[f"membrane.{n}"].reshape(32, 3)[:, 0] for n in ("reflection", "permeability"))
    assert sigma.min() >= 0.5
    assert sigma.max() <= 0.99
    assert abs(sigma.mean() - 0.745) < 0.08
    assert abs(np.log10(b).mean() + 6.5) < 0.4
    if isinstance(design, jm.LatinHypercube):  # one in each interval
        assert sorted(((sigma - 0.5) / 0.49 * 32).astype(int)) == list(range(32))
    if isinstance(design, jm.Grid):
        np.testing.assert_allclose(np.unique(sigma.round(12)), np.linspace(0.5, 0.99, 4))
    held = study.manifest["design"]
    assert held["between"]["membrane.permeability"] == [1e-8, 1e-5, "logarithmic"]
    assert held["points"].startswith(type(design).__name__)
    one = case(3).replace(reflection=sigma[5], permeability=b[5])
    answer = jm.solve(MODEL, one).observed_rejection
    np.testing.assert_allclose(study["observed_rejection"].reshape(32, 3, 2)[5], answer, rtol=1e-13)


def test_another_design_is_another_study(tmp_path: Path) -> None:
    store = tmp_path / "s.zarr"
    jm.sweep(MODEL, case(2), free=FREE, design=jm.Sobol(8), store=store)
    before = digest(store)
    with pytest.raises(jm.StoreMismatchError, match="cases"):
        jm.sweep(MODEL, case(2), free=FREE, design=jm.Sobol(8, seed=1), store=store)
    assert digest(store) == before


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: jm.Sobol(1000), r"jm.Sobol\(1024\)"),
        (lambda: jm.Random(0), r"jm.Random\(1024\)"),
        (lambda: jm.Grid(), "numbers of points"),
        (lambda: jm.Grid(2.5), r"jm.Grid\(20\)"),
        (lambda: jm.LatinHypercube(8, seed=-1), "seed"),
        (lambda: jm.sweep(MODEL, case(2), store="s.zarr", design=jm.Sobol(8)), "go together"),
        (lambda: jm.sweep(MODEL, case(2), store="s.zarr", free=FREE, design=jm.Grid(2, 2, 2)), r"jm.Grid\(20, 20\)"),
        (lambda: jm.sweep(MODEL, case(2), store="s.zarr", free=FREE, design="sobol"), r"jm.Sobol\(1024\)"),
        (lambda: jm.sweep(MODEL, case(2), store="s.zarr", shard=(4, 4)), "first of four"),
        (lambda: jm.sweep(MODEL, case(2), store="s.zarr", shard=3), "first of four"),
        (lambda: jm.sweep(MODEL, case(2), store="s.zarr", keep=3), "no tuple of names"),
        (lambda: jm.sweep_on(3, MODEL, case(2), parts=2, store="s.zarr"), "takes no functions"),
        (lambda: jm.sweep_on(_Here(), MODEL, case(2), parts=0, store="s.zarr"), "no number of parts"),
        (lambda: jm.sweep_on(_Here(), MODEL, case(2), parts=2, store="s.zarr", shard=(0, 2)), "belongs to jm.sweep"),
    ],
)
def test_designs_refuse(
    make: object, text: str, untyped: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(jm.JaxmemError, match=text):
        make()  # pyright: ignore
    assert not list(tmp_path.iterdir())


def test_a_dry_run_writes_nothing(tmp_path: Path) -> None:
    plan = jm.sweep(MODEL, case(50), store=tmp_path / "s.zarr", chunk=8, dry_run=True)
    assert (plan.lanes, plan.missing, plan.chunks, plan.tried, plan.failed) == (50, 50, 7, 8, 0)
    assert plan.seconds > 0.0
    assert "50 lanes in 7 chunks" in str(plan)
    assert not list(tmp_path.iterdir())
    study = jm.sweep(MODEL, case(50), store=tmp_path / "s.zarr", chunk=8)
    raw = sum(study.store.read(p.name).nbytes for p in study.store.path.iterdir() if p.is_dir())
    assert plan.bytes == raw
    assert jm.sweep(MODEL, case(50), store=tmp_path / "s.zarr", chunk=8, dry_run=True).missing == 0
    with pytest.raises(jm.StoreMismatchError, match="another study"):
        jm.sweep(MODEL, case(60), store=tmp_path / "s.zarr", chunk=8, dry_run=True)


class _Longer(jm.SDEM):
    """Answers with one number more for each species."""

    def observe(self, state: object, case: jm.Case) -> object:
        found = super().observe(state, case)
        return eqx.tree_at(lambda r: r.passage, found, jnp.concatenate([found.passage, found.passage], axis=-1))


def test_failed_lanes_are_put_to_another_model(tmp_path: Path) -> None:
    """A film of high flux has no answer in the linear law; the exact one solves it."""
    feed = jm.Mixture.from_concentration({"Na+": 20.0, "Cl-": 20.0})
    flux = jnp.asarray([1e-6, 1e-5, 9e-5, 2e-5, 1.2e-4, 3e-5, 1e-4])
    many = jm.Case(
        feed, jm.PermeanceMembrane.of({"Na+": 1e-6, "Cl-": 1e-6}), jm.FluxDriven(flux, jm.film("same", 4e-5))
    )
    poor, good, store = jm.SDEM(film="plain"), jm.SDEM(), tmp_path / "s.zarr"
    study = jm.sweep(poor, many, store=store, chunk=2)
    failed = study.status != 0
    assert failed.sum() == 3
    before = study["observed_rejection"]
    told: list[int] = []
    study = jm.retry(good, many, store=store, told=lambda lanes, bad: told.append(bad))
    assert (study.status == 0).all()
    assert sum(told) == 0
    np.testing.assert_array_equal(study["observed_rejection"][~failed], before[~failed])
    exact = jm.solve(good, many).observed_rejection
    np.testing.assert_allclose(study["observed_rejection"][failed], np.asarray(exact)[failed], rtol=1e-12)
    assert (study.retries[0]["tried"], study.retries[0]["solved"]) == (3, 3)
    assert "3 of 3 failed lanes solved by" in str(study)
    assert jm.sweep(poor, many, store=store, chunk=2).complete  # still the same study
    assert len(jm.retry(good, many, store=store).retries) == 1  # nothing was left to try
    with pytest.raises(jm.StoreMismatchError, match="other cases"):
        jm.retry(good, many[:4], store=store)
    piece = store / "observed_rejection" / "c.0.0"
    raw = bytearray(piece.read_bytes())
    raw[-6] ^= 1
    piece.write_bytes(bytes(raw))
    with pytest.raises(jm.DataFileError, match=r"damaged from lane 0 on.*then retry"):
        jm.retry(good, many, store=store)
    with pytest.raises(jm.StoreMismatchError, match="another shape"):
        jm.retry(_Longer(), many, store=store)


def test_workers_at_once_make_one_study(tmp_path: Path) -> None:
    """Three parts by two processes; one that cannot write loses nothing that the others did."""
    many, told = case(50), []
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        study = jm.sweep_on(
            pool, MODEL, many, parts=3, store=tmp_path / "s.zarr", chunk=4, told=lambda *x: told.append(x)
        )
    whole = jm.sweep(MODEL, many, store=tmp_path / "whole.zarr", chunk=4)
    assert study.complete
    np.testing.assert_array_equal(study["observed_rejection"], whole["observed_rejection"])
    assert [lanes for lanes, _ in told] == [18, 16, 16]


DASK = """
from dask.distributed import Client, LocalCluster

if __name__ == "__main__":
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None, "local_directory": sys.argv[2]}
    with LocalCluster(**options) as cluster, Client(cluster) as client:
        study = jm.sweep_on(client, jm.SpieglerKedem(), case, parts=3, store=sys.argv[1], chunk=4)
        jm.sweep_on(client, jm.SpieglerKedem(), case, parts=3, store=sys.argv[1], chunk=4)  # nothing is left
    assert study.complete
"""


def test_a_dask_client_makes_the_same_files(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(CASE + DASK)
    args = [str(tmp_path / "program.py"), str(tmp_path / "dask.zarr"), str(tmp_path)]
    done = subprocess.run([sys.executable, *args], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    assert run(CASE + SWEEP.replace("chunk=8", "chunk=4"), tmp_path / "whole.zarr") == 0
    files = lambda name: {p.relative_to(tmp_path / name): p.read_bytes() for p in (tmp_path / name).rglob("c.*")}
    assert len(files("whole.zarr")) > 50
    assert files("dask.zarr") == files("whole.zarr")


class _Here:
    """An executor that works at once, and breaks one part."""

    def submit(self, function: Callable, shard: tuple[int, int], fresh: str) -> Future:
        future: Future = Future()
        try:
            future.set_result(function(shard, fresh) if shard[0] != 1 else 1 / 0)
        except ZeroDivisionError as error:
            future.set_exception(error)
        return future


def test_a_part_that_fails_is_told_and_made_up_for(tmp_path: Path) -> None:
    store = tmp_path / "s.zarr"
    with pytest.raises(jm.JaxmemError, match=r"1 of 3 parts failed, the first was part 1: ZeroDivisionError.*goes on"):
        jm.sweep_on(_Here(), MODEL, case(50), parts=3, store=store, chunk=4)
    assert int((jm.Study(store).status == -1).sum()) == 16
    assert jm.sweep(MODEL, case(50), store=store, chunk=4).complete


def test_slurm_arrays_are_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"ID": "7", "MIN": "3", "MAX": "9", "STEP": "2", "COUNT": "4"}.items():
        monkeypatch.setenv(f"SLURM_ARRAY_TASK_{name}", value)
    study = jm.sweep(MODEL, case(50), store=tmp_path / "s.zarr", chunk=10)  # the third of four tasks
    assert list(np.flatnonzero(study.status == 0)) == list(range(20, 30))

    monkeypatch.setenv("SLURM_ARRAY_TASK_COUNT", "2")  # --array=3,7: which part is this?
    with pytest.raises(jm.JaxmemError, match=r"shard=\(0, 2\)"):
        jm.sweep(MODEL, case(50), store=tmp_path / "s.zarr", chunk=10)


def test_functions_that_differ_are_other_studies() -> None:
    made = lambda a: lambda x: x * a
    assert fingerprint(lambda x: jnp.sin(x)) != fingerprint(lambda x: jnp.cos(x))
    assert fingerprint(made(1.0)) != fingerprint(made(2.0))
    assert fingerprint(made(1.0)) == fingerprint(made(1.0))
    assert fingerprint(lambda x, a=1: x) != fingerprint(lambda x, a=2: x)
    program = (
        "from jaxmem.sweep.manifest import fingerprint\nprint(fingerprint(lambda a: [lambda x: x + 1, {1.0, 2.0}]))"
    )
    twice = {subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout for _ in range(2)}
    assert len(twice) == 1  # no address of anything


FACTOR = 1.0


def scaled(x: float) -> float:
    return FACTOR * x


def calls_it(x: float) -> float:
    return scaled(x)


def itself(n: int) -> int:
    return itself(n - 1) if n else 0


class Law:
    """A law that is no dataclass."""

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def __call__(self, x: float) -> float:
        return self.factor * x


def test_what_functions_read_and_objects_hold_is_part_of_a_study(monkeypatch: pytest.MonkeyPatch) -> None:
    """Globals, those of functions that are called, attributes, and what is inside of a jitted function."""
    before = [fingerprint(f) for f in (scaled, calls_it)]
    monkeypatch.setattr(sys.modules[__name__], "FACTOR", 3.0)
    assert all(a != fingerprint(f) for a, f in zip(before, (scaled, calls_it), strict=True))
    monkeypatch.undo()
    assert before == [fingerprint(f) for f in (scaled, calls_it)]
    for made in (Law, lambda k: Law(k).__call__, lambda k: jax.jit(lambda x: k * x)):
        assert fingerprint(made(1.0)) != fingerprint(made(2.0))
        assert fingerprint(made(1.0)) == fingerprint(made(1.0))
    assert len(fingerprint(itself)) == 64

    def of_the_package(k: float):
        f = lambda x: k * x
        f.__module__ = "jaxmem.somewhere"
        return f

    assert fingerprint(of_the_package(1.0)) != fingerprint(of_the_package(2.0))


def test_a_study_that_lost_a_quantity_says_so(tmp_path: Path) -> None:
    store = tmp_path / "s.zarr"
    jm.sweep(MODEL, case(9), store=store, chunk=4)
    shutil.rmtree(store / "observed_rejection")
    with pytest.raises(jm.DataFileError, match="is missing"):
        jm.sweep(MODEL, case(9), store=store, chunk=4)
    shutil.rmtree(store / "status")
    again = jm.sweep(MODEL, case(9), store=store, chunk=4)
    np.testing.assert_allclose(again["observed_rejection"], jm.solve(MODEL, case(9)).observed_rejection, rtol=1e-13)


def test_a_store_begun_and_killed_at_once_goes_on(tmp_path: Path) -> None:
    store = tmp_path / "s.zarr"
    store.mkdir()
    (store / "zarr.0123.partial").write_bytes(b"torn")
    assert jm.sweep(MODEL, case(9), store=store).complete
    (store / "status" / "zarr.json").unlink()
    assert (jm.Study(store).status == -1).all()
    assert jm.sweep(MODEL, case(9), store=store).complete


def test_one_program_over_devices() -> None:
    """Answers, derivatives and the lanes' axis are those of ``solve``."""
    slope = jax.vmap(jax.grad(lambda case: jm.solve(MODEL, case, throw=False).observed_rejection[0]))
    found = jm.spread(
        lambda case: {"c_p": jm.solve(MODEL, case, throw=False).permeate, "slope": slope(case).conditions.volume_flux}
    )(case(5))
    np.testing.assert_allclose(found["c_p"], jm.solve(MODEL, case(5)).permeate, rtol=1e-12)
    np.testing.assert_allclose(found["slope"], slope(case(5).broadcast()).conditions.volume_flux, rtol=1e-12)


@pytest.mark.usefixtures("untyped")
def test_what_cannot_be_spread() -> None:
    with pytest.raises(jm.JaxmemError, match=r"is no function of a Case.*jm.spread\("):
        jm.spread(5.0)
    with pytest.raises(jm.JaxmemError, match="devices is empty"):
        jm.spread(lambda case: case, devices=[])
    with pytest.raises(jm.ShapeError, match=r"shape \(\); its lanes"):
        jm.spread(lambda case: jm.solve(MODEL, case).permeate)(case(2)[0])


DEVICES = """
import os
os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"
"""
PORES = """
import jax, sys
import jax.numpy as jnp
import jaxmem as jm
model = jm.DSPMDE(activity="ideal")
flux = jm.FluxDriven(jnp.linspace(1e-6, 5e-5, 45), jm.film("D^(2/3)", 4e-5))
case = jm.Case(jm.Mixture.from_concentration({"Na+": 20.0, "Cl-": 16.0, "SO4-2": 2.0}), jm.membrane("NF270"), flux)
jm.sweep(model, case, store=sys.argv[1], chunk=20)
print(jax.device_count())
"""


def test_eight_devices_answer_as_one(tmp_path: Path) -> None:
    for program, name in ((DEVICES + PORES, "eight.zarr"), (PORES, "one.zarr")):
        assert run(program, tmp_path / name) == 0
    eight, one = (jm.Study(tmp_path / name) for name in ("eight.zarr", "one.zarr"))
    assert eight.complete
    np.testing.assert_allclose(eight["observed_rejection"], one["observed_rejection"], atol=1e-12)
    np.testing.assert_array_equal(eight.status, one.status)


TOGETHER = """
import sys, jax
jax.distributed.initialize(sys.argv[2], num_processes=2, process_id=int(sys.argv[3]))
"""


ONE_ARRAY = """
import numpy as np
answer = jm.spread(lambda case: jm.solve(model, case, throw=False).observed_rejection)(case)
np.save(sys.argv[1] + "." + (sys.argv[3] if len(sys.argv) > 3 else "one"), answer)
assert len(jax.devices()) == (8 if len(sys.argv) > 3 else 1), jax.devices()
"""


def test_two_processes_of_one_program(tmp_path: Path) -> None:
    """Of four devices each: chunks of one study, and one array over all eight."""
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    args, four = [str(tmp_path / "two.zarr"), f"127.0.0.1:{port}"], DEVICES.replace("=8", "=4")
    program = four + TOGETHER + PORES + ONE_ARRAY
    both = [subprocess.Popen([sys.executable, "-c", program, *args, str(i)]) for i in range(2)]
    assert [p.wait(300) for p in both] == [0, 0]
    assert run(PORES + ONE_ARRAY, tmp_path / "one.zarr") == 0
    two, one = (jm.Study(tmp_path / name) for name in ("two.zarr", "one.zarr"))
    assert two.complete
    np.testing.assert_allclose(two["observed_rejection"], one["observed_rejection"], atol=1e-12)
    alone = np.load(tmp_path / "one.zarr.one.npy")
    assert alone.shape == (45, 3)
    for process in "01":
        np.testing.assert_allclose(np.load(tmp_path / f"two.zarr.{process}.npy"), alone, atol=1e-12)


@pytest.mark.campaign
def test_a_hundred_kills(tmp_path: Path) -> None:
    """At random moments: nothing lost, nothing twice, the same bytes."""
    program = CASE.replace("50)", "6000)") + SWEEP.replace("chunk=8", "chunk=8, told=lambda n, _: print(n, flush=True)")
    assert run(program, tmp_path / "whole.zarr") == 0
    random, kills, store = np.random.default_rng(0), 0, tmp_path / "torn.zarr"
    while kills < 100:
        with subprocess.Popen([sys.executable, "-c", program, str(store)], stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            for _ in range(int(random.integers(2, 9))):
                child.stdout.readline()
            time.sleep(random.uniform(0.0, 0.05))
            child.kill()
        assert child.returncode != 0  # it was not done before
        kills += 1
    assert run(program, store) == 0
    assert digest(store) == digest(tmp_path / "whole.zarr")
