"""The fleet control plane. Nothing stands here yet."""
