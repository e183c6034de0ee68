"""The sections of a policy document, one module each: which keys they have and what may be written there."""
