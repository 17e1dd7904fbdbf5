"""Describes the machine that a benchmark runs on."""

import os
import pathlib
import platform

import keras
import tensorflow as tf


def describe_machine() -> str:
    """Processor, devices and versions in one line."""
    devices = [device.device_type for device in tf.config.list_physical_devices()]
    return (
        f'{_processor()}, {os.cpu_count()} cores, devices {", ".join(devices)}, '
        f'Python {platform.python_version()}, TensorFlow {tf.__version__}, '
        f'Keras {keras.__version__}'
    )


def _processor() -> str:
    """The processor's name, if the system provides it."""
    try:
        for line in pathlib.Path('/proc/cpuinfo').read_text().splitlines():
            if line.startswith('model name'):
                return line.partition(':')[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
