"""``python -m coldstart``."""

from coldstart.cli import main

main()
