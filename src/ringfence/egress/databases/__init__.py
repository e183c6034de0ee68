"""Logins to databases: the gateway shows the real password, the client only its placeholder."""
