"""The one exception whose message is meant for the person at the keyboard."""

import re


class UserError(Exception):
    """A mistake that the user can mend: what was expected, what was found, what to do.

    Entry points print the message alone, no traceback, and exit with status 1 (`common.cli`).
    """


def reason(error: BaseException, limit: int = 300) -> str:
    """The first line of a library's error, for use inside a message of our own."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return re.sub(r'^\{\{.*?\}\} ', '', lines[0])[:limit]  # TensorFlow's name of the failing node
