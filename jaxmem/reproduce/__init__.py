"""One module per seed paper: each prints paper | ours | note and saves its figures."""

from . import ec, nf, ro

PAPERS = {"nf": nf.reproduce, "ro": ro.reproduce, "ec": ec.reproduce}
