"""The one exception that a user's mistake raises: what was wrong, where, and what to do."""


class UserError(Exception):
    """A mistake in the user's input: commands print its text in a line or two and exit with 2."""
