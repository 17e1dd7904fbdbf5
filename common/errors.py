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
        The first line of its message, joined with the next if it only announces that one, without
        Keras' line about the layer that was called; the error's class where there is no message.
    """
    quoted = isinstance(error, KeyError) and len(error.args) == 1  # whose text is a repr
    message = str(error.args[0] if quoted else error)
    plain = re.sub('\x1b\\[[0-9;]*m', '', message)  # Keras writes in bold
    lines = [line.strip() for line in plain.splitlines() if line.strip()]
    while len(lines) > 1 and lines[0].startswith('Exception encountered when calling'):
        del lines[0]
    words, *more = lines or [type(error).__name__]
    if words.endswith((':', ':.')) and more:
        words = f'{words.rstrip(":.")}: {more[0]}'
    return re.sub(r'^\{\{.*?\}\} ', '', words)[:limit]  # TensorFlow's name of the failing node
