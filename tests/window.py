"""A real terminal for tests: a window of tmux, in which a program is started, typed to and looked at."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path


class Window:
    """One window of tmux, on a server of its own."""

    def __init__(
        self,
        folder: Path,
        argv: Sequence[str],
        environment: Mapping[str, str],
        *,
        size: tuple[int, int] = (90, 30),
        cwd: Path | None = None,
    ) -> None:
        self._tmux = ("tmux", "-S", str(folder / "tmux"), "-f", "/dev/null")
        self.raw = folder / "raw"
        told = [f"{name}={value}" for name, value in environment.items()]
        self._run("new-session", "-d", "-x", str(size[0]), "-y", str(size[1]), "sleep 60")
        self._run("set-option", "-g", "remain-on-exit", "on")
        self._run("pipe-pane", "-o", f"cat > {self.raw}")
        self._run("respawn-pane", "-k", "-c", str(cwd or os.getcwd()), "env", *told, *argv)

    def keys(self, *keys: str) -> None:
        """Press keys."""
        self._run("send-keys", *keys)

    def resize(self, width: int, height: int) -> None:
        """Give the window another size."""
        self._run("resize-window", "-x", str(width), "-y", str(height))

    def seen(self) -> str:
        """What is in the window."""
        return self._run("capture-pane", "-p")

    def shows(self, *texts: str, seconds: float = 20) -> str:
        """What is in the window, once it holds all of some texts."""
        found = ""

        def all_there() -> bool:
            nonlocal found
            found = self.seen()
            return all(text in found for text in texts)

        until(all_there, self.seen, seconds=seconds)
        return found

    def has_ended(self) -> bool:
        """Whether what ran in it has ended."""
        return self._run("display-message", "-p", "#{pane_dead}").strip() == "1"

    def close(self) -> None:
        """End it, and all that runs in it."""
        self._run("kill-server")

    def _run(self, *words: str) -> str:
        clean = {name: value for name, value in os.environ.items() if name not in {"TMUX", "NO_COLOR"}}
        return subprocess.run((*self._tmux, *words), check=True, capture_output=True, text=True, env=clean).stdout


def until(holds: Callable[[], bool], why: Callable[[], str] = lambda: "", *, seconds: float = 20) -> None:
    """Wait until something holds."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, why()
        time.sleep(0.05)
