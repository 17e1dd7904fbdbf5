"""The one exception whose message is meant for the person at the keyboard."""


class UserError(Exception):
    """A mistake that the user can mend: what was expected, what was found, what to do.

    Entry points print the message alone, no traceback, and exit with status 1 (`common.cli`).
    """
