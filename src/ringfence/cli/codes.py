"""Exit codes, as the command line promises them."""

OK = 0
FAILED = 1
"""A check that ran and found something wrong."""
USAGE = 64
POLICY_INVALID = 78
UNAVAILABLE = 125
DENIED = 126
