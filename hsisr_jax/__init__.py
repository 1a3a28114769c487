"""Hyperspectral image super-resolution in JAX; see `hsisr_jax.models`, `.losses`, `.metrics`."""
