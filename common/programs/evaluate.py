"""The worst-case accuracy of anybody's network on anybody's images."""

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from absl import flags

from common import distribution
from common.attacks.on_arrays import STEPS
from common.data.own import paths_of
from common.evaluation.cascades_by_name import PRESETS
from common.evaluation.robust_accuracy import robust_accuracy
from common.files import partial_folder, require_apart, require_writable, write_array, write_json
from common.programs import flags as shared_flags
from common.programs import own_data_set
from common.programs.config_flags import define_settings, require_finite
from common.programs.help_text import about
from common.training.setting import Subject, with_rows

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Defines the program's flags."""
    own_data_set.define_flags()
    with about(Subject.ATTACK):
        flags.DEFINE_float(
            'epsilon', None, 'Radius of the ball, in the units of --bounds.', required=True
        )
        flags.DEFINE_enum(
            'preset', 'standard', list(PRESETS), with_rows('The cascade of attacks.', PRESETS)
        )
        flags.DEFINE_float(
            'step_size', None, 'Size of a PGD step; by default 2.5 --epsilon / --steps.'
        )
        require_finite('step_size')
        define_settings('attack_dtype', steps=STEPS, seed=0)
    with about(Subject.NETWORK):
        flags.DEFINE_string(
            'model_output',
            None,
            'Name or number of the output that holds the logits, for networks with several.',
        )
    shared_flags.define_num_examples()
    shared_flags.define_batch_size(100)
    with about(Subject.OUTPUT):
        flags.DEFINE_boolean('check', True, 'Whether to run the sanity checks.')
        shared_flags.define_path(
            'json',
            None,
            'File for the results, as JSON. Partial results are kept in FILE.partial, and the same '
            'command resumes an interrupted run.',
        )
        shared_flags.define_path(
            'output', None, 'File for the worst example of each image (.npy, float32).'
        )


def resumes() -> bool:
    """Whether the same command resumes an interrupted run."""
    return bool(FLAGS.json)


def main() -> None:
    """Reads the flags, attacks the network and prints the verdict."""
    hosts = distribution.join()
    hosts.require_same('flags', sys.argv[1:])
    with hosts.first_prints():
        _evaluate(writes=hosts.first)


def _evaluate(*, writes: bool) -> None:
    bounds = own_data_set.chosen_bounds()
    json, output = FLAGS.json, FLAGS.output
    require_apart(
        {'--json': json, '--output': output},
        {'--model': [FLAGS.model], '--data': paths_of(FLAGS.data)},
    )
    for path in filter(None, (json, output)):
        require_writable(path)
    data_set = own_data_set.own_data_set(
        model=FLAGS.model,
        data=FLAGS.data,
        bounds=bounds,
        norm=FLAGS.norm,
        epsilon=FLAGS.epsilon,
        output=_output(),
    )
    network = data_set.networks.load(FLAGS.model)
    with _warnings_in_one_line():
        examples = data_set.load('test').subset(shared_flags.chosen_examples())
        verdict = robust_accuracy(
            network,
            examples.x,
            examples.y,
            epsilon=FLAGS.epsilon,
            bounds=bounds,
            norm=FLAGS.norm,
            preset=FLAGS.preset,
            steps=FLAGS.steps,
            step_size=FLAGS.step_size,
            seed=FLAGS.seed,
            batch_size=FLAGS.batch_size,
            dtype=FLAGS.attack_dtype,
            output=_output(),
            check=FLAGS.check,
            folder=partial_folder(json) if json else None,
        )
    if not writes:
        return
    # Files first: printing fails if the reader of the output is gone.
    if output:
        write_array(output, verdict.x_adv)
    if json:
        about_run = {'model': FLAGS.model, 'data': FLAGS.data}
        write_json(json, about_run | verdict.as_json())
        verdict.forget()
    print(verdict)
    for path in filter(None, (json, output)):
        print(f'wrote {path}')


def _output() -> str | int | None:
    """--model_output: a number if it looks like one."""
    name = FLAGS.model_output
    return int(name) if name is not None and name.lstrip('-').isdigit() else name


@contextmanager
def _warnings_in_one_line() -> Iterator[None]:
    """In this block, a warning is a line on standard error, once."""
    told = set()

    def show(message: Warning | str, *_: object) -> None:
        if str(message) not in told:
            told.add(str(message))
            print(f'warning: {message}', file=sys.stderr)

    with warnings.catch_warnings():
        warnings.simplefilter('always', UserWarning)
        warnings.showwarning = show
        yield
