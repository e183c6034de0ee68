"""Prints its own environment."""

import os

from prelude import ended

for name, value in os.environ.items():
    print(name, value)
ended("done")
