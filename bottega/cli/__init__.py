"""The command line. One file a command; this one only starts it, and answers `--version` before anything is loaded."""

from __future__ import annotations


def main() -> int:
    """Runs the command `bottega` with the arguments of this process; gives its exit code."""
    import sys

    arguments = sys.argv[1:]
    if arguments == ["--version"]:
        from .. import __version__

        print(f"bottega {__version__}")
        return 0
    try:
        from .group import run

        return run(arguments)
    except KeyboardInterrupt:  # during these imports; `run` has its own word for it
        return 130
