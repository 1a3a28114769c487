"""Speed: scripts that print a table of ratios measured in one run."""
