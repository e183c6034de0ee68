"""The escape battery: attacks as data, the programs that carry them out, and a runner for any sandbox.

An attack counts only after it has been proved to work without the sandbox on the same machine; see `prove.py`.
"""
