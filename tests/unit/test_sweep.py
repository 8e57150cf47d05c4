"""A study on disk: the numbers of ``jm.solve``, whatever happens in the middle."""

import hashlib
import subprocess
import sys
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
import zarr

import jaxmem as jm
from jaxmem.sweep import chunks
from jaxmem.sweep.manifest import options
from jaxmem.sweep.store import Store

MODEL = jm.SpieglerKedem()

CASE = """
import os, signal, sys
import jax.numpy as jnp
import jaxmem as jm
from jaxmem.sweep import store

feed = jm.Mixture.from_concentration({"Na+": 20.0, "Cl-": 20.0})
wall = jm.SpieglerKedemMembrane(0.9, 1e-6)
case = jm.Case(feed, wall, jm.FluxDriven(jnp.linspace(1e-7, 1e-4, 50)))
"""
KILLED = """
whole, count = store.Store.write, 0

def half(self, begin, found):
    global count
    count += 1
    if count == 4:
        whole(self, begin, {"volume_flux": found["volume_flux"]})
        (self.path / "volume_flux" / "torn.0123.partial").write_bytes(b"torn")
        os.kill(os.getpid(), signal.SIGKILL)
    whole(self, begin, found)

store.Store.write = half
"""
SWEEP = "jm.sweep(jm.SpieglerKedem(), case, store=sys.argv[1], chunk=8)\n"


def case(n: int = 50) -> jm.Case:
    feed = jm.Mixture.from_concentration({"Na+": 20.0, "Cl-": 20.0})
    wall = jm.SpieglerKedemMembrane(0.9, 1e-6)
    return jm.Case(feed, wall, jm.FluxDriven(jnp.linspace(1e-7, 1e-4, n)))


def digest(folder: Path) -> dict[str, str]:
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.rglob("*") if p.is_file()
    }


def run(program: str, store: Path) -> int:
    return subprocess.run([sys.executable, "-c", program, str(store)], capture_output=True, timeout=300).returncode


def test_the_numbers_of_solve(tmp_path: Path) -> None:
    grid = case().replace(volume_flux=jnp.geomspace(1e-7, 1e-4, 6), temperature=jnp.linspace(280.0, 320.0, 5)[:, None])
    study = jm.sweep(MODEL, grid, store=tmp_path / "s.zarr", chunk=7)
    answer = jm.solve(MODEL, grid)
    np.testing.assert_array_equal(study["observed_rejection"], answer.observed_rejection)
    assert study.complete
    assert study.status.shape == (5, 6)
    opened = study.open()
    np.testing.assert_array_equal(opened["conditions.volume_flux"].values.reshape(5, 6)[0], grid.conditions.volume_flux)
    assert opened["volume_flux"].dims == ("lane",)
    plane = jm.Electroconvection(8, 24, duration=0.01)
    said = options(plane)  # in the manifest, beside the hash of the model
    assert (said["duration"], said["columns"], said["x_flux"], said["steps"]) == (0.01, 8, "scharfetter_gummel", None)
    assert study.manifest["model"]["options"] == options(MODEL)


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_killed_in_the_middle_of_a_chunk(tmp_path: Path) -> None:
    whole, torn = tmp_path / "whole.zarr", tmp_path / "torn.zarr"
    assert run(CASE + SWEEP, whole) == 0
    assert run(CASE + KILLED + SWEEP, torn) == -9
    half = jm.Study(torn)
    assert not half.complete
    assert int((half.status >= 0).sum()) == 24
    assert digest(torn) != digest(whole)
    assert run(CASE + SWEEP, torn) == 0
    assert digest(torn) == digest(whole)


def test_another_study_is_refused(tmp_path: Path) -> None:
    store = tmp_path / "s.zarr"
    jm.sweep(MODEL, case(9), store=store, chunk=4)
    before = digest(store)
    for model, other, chunk in (
        (MODEL, case(10), 4),
        (MODEL, case(9).replace(temperature=300.0), 4),
        (MODEL, case(9), 3),
    ):
        with pytest.raises(jm.StoreMismatchError, match="another study"):
            jm.sweep(model, other, store=store, chunk=chunk)
    assert digest(store) == before
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "mine.partial").write_text("keep")
    with pytest.raises(jm.StoreMismatchError, match="something else"):
        jm.sweep(MODEL, case(9), store=tmp_path / "letters")
    assert (tmp_path / "letters" / "mine.partial").read_text() == "keep"
    with pytest.raises(jm.DataFileError, match="holds no study"):
        jm.Study(tmp_path / "nowhere.zarr")
    with pytest.raises(jm.JaxmemError, match="batched case"):
        jm.sweep(MODEL, case(9)[0], store=tmp_path / "one.zarr")


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"keep": ("nonsense",)}, "no array 'nonsense'"),
        ({"keep": "permeate"}, "no tuple of names"),
        ({"keep": ()}, "no tuple of names"),
        ({"keep": ("case.feed.species.charge",)}, "axis of lanes"),
        ({"chunk": 0}, "number of lanes"),
        ({"chunk": True}, "number of lanes"),
        ({"store": ""}, "no folder"),
        ({"notes": {"made": object()}}, "as JSON"),
    ],
)
def test_refused_before_anything_is_written(tmp_path: Path, untyped: None, given: dict, text: str) -> None:
    store = tmp_path / "s.zarr"
    with pytest.raises(jm.JaxmemError, match=text):
        jm.sweep(MODEL, case(4), **{"store": store, "chunk": 2, **given})
    assert not store.exists()


def test_a_complete_study_solves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jm.sweep(MODEL, case(9), store=tmp_path / "s.zarr", chunk=np.int64(4))
    with pytest.raises(jm.UnknownNameError, match="permeate"):
        jm.Study(tmp_path / "s.zarr")["permeat"]
    monkeypatch.setattr(Store, "write", lambda *_: pytest.fail("a chunk was computed again"))
    assert jm.sweep(MODEL, case(9), store=tmp_path / "s.zarr", chunk=4).complete


@pytest.mark.skipif(sys.platform == "win32", reason="locks of POSIX")
def test_one_writer_at_a_time(tmp_path: Path) -> None:
    with Store(tmp_path / "s.zarr").locked(), pytest.raises(jm.StoreMismatchError, match="Another process"):
        jm.sweep(MODEL, case(9), store=tmp_path / "s.zarr")


def test_a_full_disk_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write, count = Store.write, []

    def full(self: Store, *given: object) -> None:
        count.append(1)
        if len(count) == 3:
            raise OSError(28, "No space left on device")
        write(self, *given)  # pyright: ignore

    monkeypatch.setattr(Store, "write", full)
    with pytest.raises(jm.JaxmemError, match="No space left"):
        jm.sweep(MODEL, case(20), store=tmp_path / "s.zarr", chunk=5)
    assert int((jm.Study(tmp_path / "s.zarr").status == 0).sum()) == 10
    study = jm.sweep(MODEL, case(20), store=tmp_path / "s.zarr", chunk=5)
    assert study.complete


def test_failed_lanes_and_damage(tmp_path: Path) -> None:
    bad = case(8)
    bad = bad.replace(volume_flux=jnp.asarray(bad.conditions.volume_flux).at[3].set(jnp.nan))
    study = jm.sweep(MODEL, bad, store=tmp_path / "s.zarr", chunk=4)
    assert study.status[3] != 0
    assert (np.delete(study.status, 3) == 0).all()
    assert np.isnan(study["observed_rejection"][3]).all()
    assert np.isfinite(np.delete(study["observed_rejection"], 3, axis=0)).all()
    piece = tmp_path / "s.zarr" / "permeate" / "c.0.0"
    raw = bytearray(piece.read_bytes())
    raw[len(raw) // 2] ^= 0xFF
    piece.write_bytes(bytes(raw))
    with pytest.raises(jm.DataFileError, match="damaged"):
        study["permeate"]
    with pytest.raises(jm.DataFileError, match="4 lanes are lost"):
        study.open(checked=True)
    for name, text in (("permeate", ""), ("volume_flux", "{}")):
        kept = (tmp_path / "s.zarr" / name / "zarr.json").read_text()
        (tmp_path / "s.zarr" / name / "zarr.json").write_text(text)
        with pytest.raises(jm.DataFileError, match=f"{name}/zarr.json is damaged.*Delete"):
            jm.sweep(MODEL, bad, store=tmp_path / "s.zarr", chunk=4)
        (tmp_path / "s.zarr" / name / "zarr.json").write_text(kept)


@pytest.mark.parametrize("name", ["permeate", "status"])
@pytest.mark.parametrize("how", ["bit", "half", "empty"])
def test_damaged_chunks_are_computed_again(name: str, how: str, tmp_path: Path) -> None:
    store, counted = tmp_path / "s.zarr", []
    jm.sweep(MODEL, case(9), store=store, chunk=4)
    before = digest(store)
    piece = store / name / ("c.1.0" if name == "permeate" else "c.1")
    raw = bytearray(piece.read_bytes())
    raw[len(raw) // 2] ^= 0xFF
    piece.write_bytes({"bit": bytes(raw), "half": bytes(raw[: len(raw) // 2]), "empty": b""}[how])
    study = jm.sweep(MODEL, case(9), store=store, chunk=4, told=lambda lanes, failed: counted.append(lanes))
    assert counted == [5, 4]  # there before, computed now
    assert study.complete
    assert digest(store) == before


def test_a_file_that_has_gone_is_computed_again(tmp_path: Path) -> None:
    """A chunk is done while all of its files are there; chunks of nothing but failures, or of zeros, are files too."""
    store = tmp_path / "s.zarr"
    study = jm.sweep(MODEL, case(9), store=store, chunk=4)
    before = digest(store)
    (store / "observed_rejection" / "c.1.0").unlink()
    assert not study.complete
    assert study.status.tolist() == [0] * 4 + [-1] * 4 + [0]
    assert jm.sweep(MODEL, case(9), store=store, chunk=4).complete
    assert digest(store) == before


@pytest.mark.parametrize("kind", [np.float64, np.float32, np.int16, bool])
@pytest.mark.parametrize("tail", [(), (3,), (2, 4)])
def test_chunks_are_the_files_of_zarr(kind: type, tail: tuple[int, ...], tmp_path: Path) -> None:
    """Byte for byte, a last chunk that is not full and one that holds nothing but the fill value included."""
    values = np.random.default_rng(0).normal(size=(11, *tail)).round(1).astype(kind)
    fill = np.nan if np.issubdtype(kind, np.floating) else 0
    values[4:8] = fill
    folders = [tmp_path / name for name in ("ours", "zarrs")]
    for folder in folders:
        zarr.create_array(folder, shape=values.shape, dtype=kind, chunks=(4, *tail), fill_value=fill, **chunks.options())  # fmt: skip
    for k in range(3):
        chunks.put(chunks.place(folders[0], k, values.ndim), chunks.packed(values[4 * k : 4 * k + 4], (4, *tail), fill))
    with zarr.config.set({"array.write_empty_chunks": True}):
        zarr.open_array(folders[1], mode="r+")[...] = values
    assert digest(folders[0]) == digest(folders[1])
    assert np.array_equal(zarr.open_array(folders[0], mode="r")[...], values, equal_nan=fill != 0)


def test_a_disk_that_fills_within_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file before stays, and what was begun is taken away."""
    chunks.put(tmp_path / "c.0", b"whole")

    def full(self: Path, data: bytes) -> None:
        with self.open("wb") as handle:
            handle.write(data[:2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        chunks.put(tmp_path / "c.0", b"anew")
    assert [p.read_bytes() for p in tmp_path.iterdir()] == [b"whole"]
