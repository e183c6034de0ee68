"""The workspace: which of its files may run something later, and what a session left in it."""
