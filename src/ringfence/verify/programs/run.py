"""Runs a command and shows what it prints: `run ARGV...`."""

import subprocess

from prelude import arguments, ended

result = subprocess.run(arguments, stdin=subprocess.DEVNULL, capture_output=True, text=True)
print(result.stdout, result.stderr)
ended("done" if result.returncode == 0 else f"exit {result.returncode}")
