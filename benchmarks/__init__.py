"""Benchmarks: seeded campaigns of cases, timings against independent solvers, and the table of the README."""
