"""What a shell string runs: parsed completely, or called opaque with the reason."""
