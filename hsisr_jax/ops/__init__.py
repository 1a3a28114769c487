"""Array functions that several networks share, each beside the form that it replaces."""
