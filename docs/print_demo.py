"""Put what the last demo printed into README.md, with date and commit: `make readme`."""

import io
import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from orchestration import deployments
from orchestration.summary import print_summary

README = Path(__file__).parents[1] / "README.md"
BLOCK = re.compile(r"(<!-- demo:begin -->\n).*(<!-- demo:end -->)", re.DOTALL)


def main() -> None:
    """Replace the text between the two markers."""
    console = Console(file=io.StringIO(), record=True, width=110)
    print_summary(deployments.lake(), console)
    printed = "\n".join(line.rstrip() for line in console.export_text().splitlines())
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True
    ).stdout.strip()
    where = f"Printed on {datetime.now(UTC):%Y-%m-%d} at commit {commit}, two CPU cores:"
    block = f"{where}\n\n```text\n{printed.strip()}\n```\n"
    README.write_text(BLOCK.sub(lambda found: found[1] + block + found[2], README.read_text()))


if __name__ == "__main__":
    main()
