"""Fixtures that tests of several packages share."""

import common  # noqa: F401  (quiets TensorFlow, which the lines below import)

# isort: split
import contextlib
import dataclasses
import importlib
import io
import pathlib
import sys
import warnings

import keras
import pytest
from absl import app, flags

from common.programs import cli, train


@pytest.fixture(scope='session')
def art():
    """The Adversarial Robustness Toolbox; without it a test is skipped."""
    pytest.importorskip('art', reason='needs adversarial-robustness-toolbox')

    class ART:
        @staticmethod
        def module(name):
            with warnings.catch_warnings():  # about other libraries that are missing
                warnings.simplefilter('ignore')
                return importlib.import_module(f'art.{name}')

        @classmethod
        def classifier(cls, model, classes):
            return cls.module('estimators.classification').TensorFlowV2Classifier(
                model=model,
                nb_classes=classes,
                input_shape=model.input_shape[1:],
                clip_values=(0.0, 1.0),
                loss_object=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            )

    return ART


@pytest.fixture(scope='session')
def run_program():
    """(module, *arguments, **changes) -> (exit status, output, standard error) of a program.

    The module is a door, whose data set gets the changed fields, or has its own `main` and
    `define_flags`. It runs in this process, which saves the seconds of importing TensorFlow, and
    leaves no flags behind.
    """
    app.define_help_flags()  # absl defines them once per process

    def run(module, *arguments, **changes):
        arguments_before, flags_before = sys.argv, set(flags.FLAGS)
        sys.argv = [module.__name__, *map(str, arguments)]
        out, err, status = io.StringIO(), io.StringIO(), 0
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                if isinstance(module.main, cli.Door):
                    door = module.main
                    if changes:
                        changed = dataclasses.replace(door.data_set, **changes)
                        door = dataclasses.replace(door, data_set=changed)
                    door()
                else:
                    cli.run(module.main, module.define_flags)
        except SystemExit as stop:
            status = stop.code or 0
        finally:
            sys.argv = arguments_before
            for name in set(flags.FLAGS) - flags_before:
                delattr(flags.FLAGS, name)
        return status, out.getvalue(), err.getvalue()

    return run


@pytest.fixture
def trainer_arguments():
    """(data set, config) -> the Trainer's arguments; no training takes place."""

    def record(data_set, config):
        made = []

        class Recorder:
            writes = False

            def __init__(self, **arguments):
                made.append(arguments)

            def train(self):
                pass

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(train, 'Trainer', Recorder)
            train.train(data_set, config, pathlib.Path('never_made'), None)
        return made[0]

    return record
