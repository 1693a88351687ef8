"""Speed and memory, as ratios in one run; not installed with the package."""
