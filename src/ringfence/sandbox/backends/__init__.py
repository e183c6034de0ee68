"""Tier B: a sandbox without namespaces. Landlock and a filter say what nobody may do; what remains is done for the
programs by a process of ours, which the filter asks."""
