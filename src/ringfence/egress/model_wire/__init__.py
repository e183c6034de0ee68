"""The model's own traffic: what agents ask of models and what those answer, read off the wire, and limited."""
