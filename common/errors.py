"""The one exception whose message is meant for the person at the keyboard."""

import re


class UserError(Exception):
    """A mistake that the user can fix: what was expected, what was found, what to do.

    Entry points print the message alone, no traceback, and exit with status 1 (see
    `common.programs.cli`).
    """


class BadInput(UserError, ValueError):
    """Images, labels, a network or an argument that is not what a function takes.

    A `ValueError` for callers in Python, and one line on the command line.
    """


def reason(error: BaseException, limit: int = 300) -> str:
    """A library's error in one short line, for use inside a message of our own.

    Args:
        error: the library's.
        limit: most characters of the result.

    Returns:
        The first line of its message, joined with the second if it only announces that one; the
        error's class where there is no message.
    """
    lines = str(error).strip().splitlines() or [type(error).__name__]
    words = lines[0]
    if words.endswith((':', ':.')) and len(lines) > 1:
        words = f'{words.rstrip(":.")}: {lines[1].strip()}'
    return re.sub(r'^\{\{.*?\}\} ', '', words)[:limit]  # TensorFlow's name of the failing node
