"""Starts a command that ends when its launcher does: `python -m training.tied_process PID -- ...`.

For commands that do not see to it themselves, as torchrun: without this, its processes would go on
training after the launcher was killed. The kernel sends SIGTERM; Linux only.
"""

import os
import sys

from training.run import EXIT_STOPPED, die_with_parent


def main(arguments: list[str]) -> int:
    """Replace this process by the command; return only if the launcher is gone already.

    Args:
        arguments: Process id of the launcher, `--`, the command.
    """
    parent, dashes, *command = arguments
    assert dashes == "--"
    if not die_with_parent(int(parent)):
        return EXIT_STOPPED
    os.execvp(command[0], command)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
