"""The ways of asking a person: one file each, all behind the protocol in `channel`."""
