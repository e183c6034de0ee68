"""Servers of tools in a session: what they are, which tools they have, and what is asked of them."""
