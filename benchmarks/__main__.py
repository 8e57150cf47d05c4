"""``python -m benchmarks``: the card, every physics on one page."""

import sys

from .card import main

if __name__ == "__main__":
    main(sys.argv[1:])
