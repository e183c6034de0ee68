"""A model that says what a script tells it to, over the wire formats that real agents speak.

It lets a real agent be driven without a network, an account or chance: every turn is written down before, and every
request is kept, so that a test can read what the agent was told about the outcome of its tool calls.
"""

from tests.scripted_model.script import Call, Read, Say, Shell, Turn, Write, read_script
from tests.scripted_model.server import Recorded, ScriptedModel

__all__ = ["Call", "Read", "Recorded", "Say", "ScriptedModel", "Shell", "Turn", "Write", "read_script"]
