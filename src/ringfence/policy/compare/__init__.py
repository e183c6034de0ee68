"""Two policies side by side: every difference in what they decide, with an action that shows it."""
