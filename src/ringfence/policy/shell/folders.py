"""The folder in which a command of a script runs, as far as its text tells, and what links it has made."""

from __future__ import annotations

import posixpath
from typing import NamedTuple

from ringfence.policy.shell.tree import Command, Word

MAX_FOLDERS = 4


class Place(NamedTuple):
    """Where relative paths are meant."""

    folders: tuple[str, ...]
    """The folders it may be; none where only running the script would tell."""
    others: tuple[str, ...] = ()
    """Where it is if a `cd` in front of it fails."""

    def at(self, path: str) -> Place:
        """The place after changing to a path."""
        if path.startswith("/"):
            return Place((posixpath.normpath(path),), self.others)
        moved = tuple(posixpath.normpath(posixpath.join(folder, path)) for folder in self.folders)
        return Place(moved, tuple(posixpath.normpath(posixpath.join(folder, path)) for folder in self.others))

    def resolve(self, path: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The absolute paths that one may mean: the likely ones, and those if a `cd` fails."""
        if path.startswith("/"):
            return (path,), ()
        return (
            tuple(posixpath.join(folder, path) for folder in self.folders),
            tuple(posixpath.join(folder, path) for folder in self.others),
        )


NOWHERE = Place(())


class Folders:
    """Follows `cd`, `pushd` and `popd` through a script, subshell by subshell."""

    def __init__(self, start: Place, home: str | None) -> None:
        self._home = home
        self._moves: list[tuple[tuple[int, ...], Place, Place]] = [((), start, start)]
        self._chained = False
        self._pushed: list[Place] = []

    def place(self, command: Command) -> Place:
        """Where a command runs."""
        if command.link != "&&":
            self._chained = False
        return self.within(command.scope)

    def within(self, scope: tuple[int, ...]) -> Place:
        """Where something in these subshells runs."""
        for mark, before, after in reversed(self._moves):
            if scope[: len(mark)] == mark:
                if self._chained or after is before:
                    return after
                return Place(after.folders, (*before.folders, *after.others)[:MAX_FOLDERS])
        return NOWHERE

    def move(self, command: Command) -> None:
        """Take note of a command that may change the folder."""
        program = command.words[0].text
        if program not in {"cd", "pushd", "popd", "chdir"}:
            return
        before = self.within(command.scope)
        operands = [
            word for word in command.words[1:] if not (word.text or "").startswith(("-L", "-P", "-e", "-n", "--"))
        ]
        if program == "popd":
            after = self._pushed.pop() if self._pushed else NOWHERE
        else:
            if program == "pushd":
                self._pushed.append(before)
            after = self._after(before, operands[0] if operands else None)
        if command.function:
            after = Place(tuple(dict.fromkeys((*before.folders, *after.folders)))[:MAX_FOLDERS], after.others)
        self._moves.append((command.scope, before, after))
        self._chained = True

    def _after(self, before: Place, word: Word | None) -> Place:
        if word is None:
            return NOWHERE if self._home is None else Place((self._home,))
        text = word.text
        if text is None or word.glob or text == "-" or (text[:1] in "+-" and text[1:].isdigit()):
            return NOWHERE
        return before.at(text)


class Links:
    """Symbolic links that a script makes, so that what is opened through them is known."""

    def __init__(self) -> None:
        self._targets: dict[str, tuple[str, int]] = {}

    def note(self, words: tuple[Word, ...], place: Place, number: int) -> None:
        """Take note of `ln -s TARGET LINK`, made by the program of this number."""
        flags = "".join(word.text for word in words[1:] if word.text and word.text.startswith("-"))
        if "s" not in flags.replace("--", "") and "--symbolic" not in flags:
            return
        operands = [word.text for word in words[1:] if word.text and not word.text.startswith("-")]
        if not operands:
            return
        target = operands[0]
        name = operands[1] if len(operands) > 1 else posixpath.basename(target)
        for link in place.resolve(name)[0]:
            full = target if target.startswith("/") else posixpath.join(posixpath.dirname(link), target)
            self._targets[posixpath.normpath(link)] = (posixpath.normpath(full), number)

    def followed(self, path: str, number: int) -> str | None:
        """Where a path leads for the program of this number; nothing where it meets none of the links made before."""
        if not self._targets:
            return None
        current, met = posixpath.normpath(path), False
        for _ in range(8):
            head = self._head(current, number)
            if head is None:
                break
            current, met = posixpath.normpath(self._targets[head][0] + current[len(head) :]), True
        return current if met else None

    def _head(self, path: str, number: int) -> str | None:
        for link, (_, made) in self._targets.items():
            if made < number and (path == link or path.startswith(f"{link}/")):
                return link
        return None
