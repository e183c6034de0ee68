"""The escape battery: attacks as data (`rows/`), the programs that carry them out, and a runner for any sandbox.

An attack counts only after it has been proved to work without the sandbox on the same machine; see `prove.py`. Users
run it as `ringfence verify`; the tests and the comparison with other sandboxes run the same rows.
"""
