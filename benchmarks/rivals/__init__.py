"""Independent solvers of the Donnan-steric pore model in plain NumPy and SciPy: the rivals of the benchmarks."""
