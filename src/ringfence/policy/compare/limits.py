"""How large a comparison may become. What is larger is said to be undecided; it is never answered by guess."""

from __future__ import annotations

MAX_STATES = 200_000
"""States of one walk over the letters of names."""

MAX_STEPS = 3_000_000
"""Steps of one walk over paths."""

MAX_ACTIONS = 400_000
"""Actions of one area that are judged by both policies."""

MAX_PATHS = 50_000
"""Kinds of paths that are judged by both policies."""


class TooLarge(Exception):
    """A comparison has more cases than its limit; the message says which."""
