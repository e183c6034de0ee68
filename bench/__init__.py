"""Speed, always as ratios against peers that did the same work in the same run. Nothing here is a test."""
