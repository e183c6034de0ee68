"""The session's end of what a policy opens between a sandbox and the host: each way carries what was named, and nothing
beside it."""
