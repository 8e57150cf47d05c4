"""A sweep on disk, for reading."""

from pathlib import Path
from typing import Any

import numpy as np

from .._errors import DataFileError
from .._status import names
from .store import NOT_DONE, Store


class Study:
    """A sweep on disk: ``.open()`` is an ``xarray.Dataset``, ``.status`` the codes of all lanes, ``print`` says how far it is."""

    def __init__(self, path: str | Path) -> None:
        self.store = Store(Path(path))
        self.manifest = self.store.manifest()
        self.shape = tuple(self.manifest["cases"]["shape"])

    @property
    def status(self) -> np.ndarray:
        """Codes of ``jm.STATUS``, of the shape of the cases; -1 where nothing has been computed yet."""
        return self.store.status().reshape(self.shape)

    @property
    def complete(self) -> bool:
        """Whether every lane has been computed."""
        return bool((self.store.status() != NOT_DONE).all())

    @property
    def retries(self) -> list[dict[str, Any]]:
        """What ``jm.retry`` did: model, lanes tried, lanes solved."""
        return self.store.attributes().get("retries", [])

    def open(self, checked: bool = False) -> Any:
        """Everything as an ``xarray.Dataset``, read when used; ``lane`` runs over the cases in C order, failed lanes are NaN.

        ``checked``: read it all at once before, and refuse a study of which anything is damaged (else zarr says so where it is used).
        """
        from ..models.export import need

        if checked and (
            lost := int(((self.store.status() != NOT_DONE) & (self.store.status(checked=True) == NOT_DONE)).sum())
        ):
            raise DataFileError(
                f"{self.store.path} has damaged chunks: {lost} lanes are lost. Write jm.sweep(...) again: what is damaged is computed anew."
            )
        return need("xarray").open_zarr(self.store.path, consolidated=False, chunks=None)

    def __getitem__(self, name: str) -> np.ndarray:
        """One quantity, ``(*cases, ...)``."""
        found = self.store.read(name)
        return found.reshape(self.shape + found.shape[1:])

    def __str__(self) -> str:
        codes = self.store.status()
        done = codes != NOT_DONE
        lines = [
            f"{self.manifest['model']['title']}: {int(done.sum())} of {codes.size} lanes done, in {self.store.path}"
        ]
        for code, name in names().items():
            count = int((codes == code).sum())
            if count:
                lines.append(f"  {count} x {name}")
        lines += [f"  {r['solved']} of {r['tried']} failed lanes solved by {r['title']}" for r in self.retries]
        return "\n".join(lines)
