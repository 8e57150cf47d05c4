"""Data: the tables that ship with jaxmem (species, membranes, feeds) and the loader of measured rejections."""
