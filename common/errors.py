"""The one exception whose message is meant for the person at the keyboard."""

import re


class UserError(Exception):
    """A mistake that the user can mend: what was expected, what was found, what to do.

    Entry points print the message alone, no traceback, and exit with status 1 (see
    `common.programs.cli`).
    """


def reason(error: BaseException, limit: int = 300) -> str:
    """What a library's error says, for use inside a message of our own: one line of few words.

    Where the first line only announces the next one, that comes with it.
    """
    lines = str(error).strip().splitlines() or [type(error).__name__]
    words = lines[0]
    if words.endswith((':', ':.')) and len(lines) > 1:
        words = f'{words.rstrip(":.")}: {lines[1].strip()}'
    return re.sub(r'^\{\{.*?\}\} ', '', words)[:limit]  # TensorFlow's name of the failing node
