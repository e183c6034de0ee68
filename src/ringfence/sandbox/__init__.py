"""The sandbox: `plan` (policy to plan), `probe` (what this machine can enforce), `launch` (a running sandbox).

Nothing is re-exported here, because the process inside a sandbox imports this package too and has to start fast.
"""
