"""What ends a command without a traceback, besides ValueError."""


class DvcFailed(Exception):
    """A DVC command ended with an error; the message holds its last lines, which the terminal has shown."""
