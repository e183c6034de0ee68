"""Who has the user's terminal: the program inside, through the relay, or a question of ours."""

from __future__ import annotations

from ringfence.session.terminal import TerminalRelay


class Stage:
    """Hands the terminal to a question and back. Without a relay there is nothing to hand over."""

    def __init__(self) -> None:
        self.relay: TerminalRelay | None = None

    @property
    def entered(self) -> int:
        """How often the person has pressed Enter to the program inside: each is a turn of an agent."""
        return 0 if self.relay is None else self.relay.entered

    def suspend(self) -> None:
        """A question is about to be asked."""
        if self.relay is not None:
            self.relay.suspend()

    def resume(self) -> None:
        """The question is over."""
        if self.relay is not None:
            self.relay.resume()
