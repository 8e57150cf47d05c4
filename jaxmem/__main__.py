"""``python -m jaxmem`` is the ``jaxmem`` command."""

from .cli import main

if __name__ == "__main__":
    main()
