"""``coldstart``, and ``python -m coldstart``."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line; an installation without its packages is an error with code 4, not Python's own 1."""
    try:
        from coldstart.cli import main as command_line  # noqa: PLC0415  so that it can be missing
    except ImportError as error:
        from coldstart.errors import EXIT_ENVIRONMENT  # noqa: PLC0415

        sys.stderr.write(f"coldstart: its installation is incomplete: {error}. Install it again.\n")
        sys.exit(EXIT_ENVIRONMENT)
    except KeyboardInterrupt:  # before there was anything to take down
        from coldstart.errors import EXIT_INTERRUPTED  # noqa: PLC0415

        sys.exit(EXIT_INTERRUPTED)
    command_line()


if __name__ == "__main__":
    main()
