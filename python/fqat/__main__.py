"""``python -m fqat COMMAND``: the commands of the package."""

import argparse
import importlib
import sys
from typing import Optional, Sequence

# Module with the command's main(), and what it does.
COMMANDS = {
    "lint": ("fqat.lint.command", "find in Python source what breaks the rules of the kit"),
}


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Run a command and return its exit code."""
    parser = argparse.ArgumentParser(
        prog="fqat",
        description="Tools around fqat-opt.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="commands:\n"
        + "\n".join("  {:<8}{}".format(name, text) for name, (_, text) in COMMANDS.items()),
    )
    parser.add_argument("command", choices=sorted(COMMANDS), metavar="COMMAND")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="...", help="its arguments")
    options = parser.parse_args(arguments)
    try:
        module = importlib.import_module(COMMANDS[options.command][0])
    except ModuleNotFoundError as error:
        if error.name != "libcst":
            raise
        print("fqat lint needs libcst: pip install fqat[lint]", file=sys.stderr)
        return 2
    return int(module.main(options.arguments))


if __name__ == "__main__":
    sys.exit(main())
