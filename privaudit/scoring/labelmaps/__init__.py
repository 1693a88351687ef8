"""Label maps: segmentations that attackers claim, and how they become findings."""
