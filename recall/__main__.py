"""`python -m recall`, and the program graphrecall: the command line, also while its libraries are imported."""

from __future__ import annotations

import sys

INTERRUPTED = 130  # as a shell reports SIGINT


def main() -> None:
    """Run the command line; Ctrl+C ends it without a traceback, however early it comes."""
    try:
        from recall.cli.main import main as run

        run()
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
