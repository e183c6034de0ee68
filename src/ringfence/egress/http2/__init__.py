"""HTTP/2 on inspected hosts: a client's connection with many requests at once, and one of ours to its server."""
