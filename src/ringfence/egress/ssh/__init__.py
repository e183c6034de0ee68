"""Reads the part of SSH that is not encrypted, far enough to know which key a server shows. It decrypts nothing."""
