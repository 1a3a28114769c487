"""A trained network on images: scored, and on scenes of any size."""
