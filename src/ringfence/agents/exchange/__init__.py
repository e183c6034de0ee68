"""Policies to and from the agents' own settings: what Codex and Claude Code are told becomes a policy of ours, and the
effective policy becomes the managed settings of Codex, Claude Code, Gemini CLI and opencode.

Both ways keep a verdict or make it stricter, and list what they cannot carry over. Nothing here reads or writes a file.
"""
