"""Experiments on image quality of networks and options, on real and synthetic scenes."""
