"""Actions, decisions, events and the ports between layers.

No input or output, and no import from the rest of the package.
"""
