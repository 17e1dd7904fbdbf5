"""What has to hold before TensorFlow is imported, and how programs end that never got to start.

A program is a module that `python -m` starts. While Python still looks for it, and imports its
package on the way, `sys.argv[0]` is '-m'; no traceback can help anyone then.
"""

import json
import os
import signal
import sys
from typing import Any

_stderr: int | None = None  # a copy of standard error while `quiet_tensorflow` redirects it


def begin() -> None:
    """Refuses a Keras that cannot work here; from now on, Ctrl-C ends a program without traceback.

    Raises:
        ImportError: Keras has another backend than TensorFlow, or another type of numbers than
            float32. A program prints this line and exits with status 1 instead.
    """
    starting = sys.argv[:1] == ['-m']
    if starting:
        _end_on_interrupt()
    try:
        _require_keras()
    except ImportError as error:
        if not starting:
            raise
        sys.exit(f'error: {error}')


def hand_over() -> None:
    """Gives Ctrl-C back to the program, which has started."""
    global _stderr
    if _stderr is not None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.close(_stderr)
        _stderr = None


def _end_on_interrupt() -> None:
    global _stderr
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:  # ignored, as under nohup
        return
    try:
        _stderr = os.dup(2)
    except OSError:  # no standard error at all
        return
    signal.signal(signal.SIGINT, _interrupted)


def _interrupted(*_: Any) -> None:
    # An exception could be lost in, or changed by, any of the hundreds of imports under way.
    os.write(_stderr or 2, b'interrupted\n')
    os._exit(130)


def _require_keras() -> None:
    chosen = _keras_settings()
    backend, where = chosen['backend']
    if backend != 'tensorflow':
        remedy = f'Unset {where}' if where == 'KERAS_BACKEND' else 'Set KERAS_BACKEND=tensorflow'
        raise ImportError(
            f"expected tensorflow as Keras' backend; found {backend}, from {where}. {remedy}."
        )
    floatx, where = chosen['floatx']
    if floatx != 'float32':
        raise ImportError(
            f'expected float32 as the type of numbers in Keras (floatx), which networks compute '
            f'in; found {floatx}, from {where}. Change it there, or name another folder by '
            'KERAS_HOME.'
        )


def _keras_settings() -> dict[str, tuple[str, str]]:
    """Setting -> its value, and where that comes from; by the rules of Keras, without its import.

    Imported with the wrong backend, Keras would fail in its own words, or not at all.
    """
    if 'keras' in sys.modules:
        config = sys.modules['keras'].config
        running = 'the Keras that is imported already'
        return {'backend': (config.backend(), running), 'floatx': (config.floatx(), running)}
    home = os.path.expanduser('~')
    default = os.path.join(home if os.access(home, os.W_OK) else '/tmp', '.keras')
    path = os.path.expanduser(os.path.join(os.environ.get('KERAS_HOME', default), 'keras.json'))
    try:
        with open(path, encoding='utf-8') as file:
            stored = dict(json.load(file))
    except (OSError, TypeError, ValueError):  # none, or one that Keras cannot read either
        stored = {}
    found = {
        'backend': (stored.get('backend', 'tensorflow'), path),
        'floatx': (stored.get('floatx', 'float32'), path),
    }
    if os.environ.get('KERAS_BACKEND'):
        found['backend'] = (os.environ['KERAS_BACKEND'], 'KERAS_BACKEND')
    return found
