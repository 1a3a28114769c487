"""Building blocks of the networks: Flax modules, and functions of a batch."""
