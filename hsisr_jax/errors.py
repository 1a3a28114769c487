"""The one exception that a user's mistake raises: what was wrong, where, and what to do."""


class UserError(Exception):
    """A mistake in the user's input. Commands print its text on one or two lines and exit with 2."""
