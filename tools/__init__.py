"""Fuzzing, chaos tests, long runs, and programs compiled for other machines."""
