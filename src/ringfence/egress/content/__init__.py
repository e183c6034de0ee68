"""What leaves in requests: secrets, canaries, and how many bytes."""
