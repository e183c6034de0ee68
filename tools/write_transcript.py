"""Runs the demo and puts what it printed into the readme, between its marks: the transcript is always a real one."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WIDTH = 150


def shown(text: str) -> str:
    """The text as the readme shows it: the demo's own folder as a home, long lines cut."""
    # The folder that the demo makes is another one each time.
    text = re.sub(r"/tmp/ringfence-demo-\w+/home", "/home/you", text)  # noqa: S108
    lines = [line if len(line) <= WIDTH else line[: WIDTH - 3] + "..." for line in text.strip("\n").split("\n")]
    return "\n".join(["```", *lines, "```"])


def main() -> None:
    """Run, cut, write."""
    demo = ROOT / "examples" / "demo" / "tell.py"
    ran = subprocess.run(
        [sys.executable, str(demo)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True
    ).stdout
    parts = {
        "story": re.search(r"( {2}agent {2}\| I run the tests.*?)\n\nThe work is done", ran, re.DOTALL),
        "record": re.search(r"(session \w{26}\n.*?\nverified: [^\n]*)", ran, re.DOTALL),
    }
    readme = (ROOT / "README.md").read_text()
    for name, found in parts.items():
        assert found is not None, f"the demo printed no {name}"
        text = found[1].replace("\nAnd nobody edited it:\n\n", "\n")
        marks = f"<!-- {name} -->\n", f"<!-- /{name} -->"
        before, _, rest = readme.partition(marks[0])
        readme = before + marks[0] + shown(text) + "\n" + marks[1] + rest.partition(marks[1])[2]
    (ROOT / "README.md").write_text(readme)


if __name__ == "__main__":
    main()
