"""``python -m jaxmem`` is the ``jaxmem`` command."""

from .cli import main

main()
