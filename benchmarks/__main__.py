"""``python -m benchmarks``: the quick benchmark."""

import sys

from .bench_dspmde import main

if __name__ == "__main__":
    main(["--quick", *sys.argv[1:]])
