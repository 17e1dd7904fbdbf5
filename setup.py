"""Installs common, the data sets' packages, and the released weights beside them."""

import pathlib

from setuptools import find_packages, setup

setup(
    name='robust-training',
    version='0.1.0',
    description='Towards Deep Learning Models Resistant to Adversarial Attacks, in TensorFlow 2',
    long_description=pathlib.Path(__file__).with_name('README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    license='MIT',
    python_requires='>=3.10',
    packages=find_packages(),  # tests, benchmarks and examples are folders without __init__.py
    package_data={'checkpoints': ['manifest.json', '*/*.weights.h5', '*/*.log.csv']},
    install_requires=[
        'absl-py>=2.1',
        'numpy>=1.26',
        'tensorflow>=2.20',
        'tensorflow-datasets>=4.9.7',
        # Newer ones need Python 3.11. Old pips that are not told so search for hours.
        'etils<1.14; python_version < "3.11"',
        'importlib_resources>=6.0',  # imported by tensorflow-datasets without being declared
        'tensorboard>=2.20',  # tf.summary needs it, and TensorFlow no longer brings it
    ],
    extras_require={
        'test': ['mypy>=1.13', 'pytest>=8.0', 'pytest-xdist>=3.6', 'ruff==0.17.*'],
        'plots': ['matplotlib>=3.8'],
        'gpu': ['tensorflow[and-cuda]>=2.20'],
    },
)
