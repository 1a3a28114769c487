"""Hyperspectral image super-resolution in JAX. Import what you need: `hsisr_jax.models`, `.losses`, `.metrics`, ..."""

