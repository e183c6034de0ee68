"""Credentials that the gateway puts into requests, and the refusal of every other one where they are bound."""
