"""The ledger: what was asked, decided, done and sent, in one order that nobody can quietly edit.

Import from the modules: this one stays empty, because the ledger's writer starts from the standard library alone.
"""
