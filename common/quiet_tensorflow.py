"""Imports TensorFlow without its start-up chatter.

TensorFlow logs a dozen lines about oneDNN and missing CUDA libraries before any of its own logging
settings take effect, so the import runs with standard error redirected; any other lines are passed
on afterwards. Setting TF_CPP_MIN_LOG_LEVEL brings everything back.
"""

import os
import re
import sys
import tempfile

_LEVEL = 'TF_CPP_MIN_LOG_LEVEL'
_CHATTER = re.compile(
    r'absl::InitializeLog|port\.cc|cudart_stub\.cc|cpu_feature_guard\.cc|computation_placer\.cc|'
    r'cuda_(fft|dnn|blas)\.cc|To enable the following instructions|TF-TRT Warning|'
    r'Unable to register cu'
)


def import_tensorflow() -> None:
    """Imports tensorflow quietly, unless the user chose a log level or it is imported already."""
    if _LEVEL in os.environ or 'tensorflow' in sys.modules:
        return
    os.environ[_LEVEL] = '3'
    sys.stderr.flush()
    try:
        saved = os.dup(2)
    except OSError:  # no standard error at all: nothing to keep quiet
        import tensorflow  # noqa: F401

        return
    with tempfile.TemporaryFile() as captured:
        os.dup2(captured.fileno(), 2)
        try:
            import tensorflow  # noqa: F401

            tensorflow.config.list_physical_devices()  # the search for GPUs logs as well
        finally:
            sys.stderr.flush()
            os.dup2(saved, 2)
            os.close(saved)
            del os.environ[_LEVEL]  # TensorFlow has read it; child processes must not inherit it
            captured.seek(0)
            _pass_on(captured.read().decode(errors='replace'))


def _pass_on(text: str) -> None:
    for line in text.splitlines():
        if line.strip() and not _CHATTER.search(line):
            print(line, file=sys.stderr)
