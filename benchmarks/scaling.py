"""How the cost of an evaluation grows: with images, steps, restarts, classes and devices.

    python benchmarks/scaling.py

A few minutes on two cores. Evaluates small networks on drawn images that no attack breaks (the
radius is tiny), so that every image spends all gradients. Writes docs/scaling.json, and from it the
tables of docs/scaling.md. What ImageNet costs is derived there from the cascade's own counts, with
assumptions that IMAGENET names; no GPU is measured.
"""

import common  # noqa: F401  (quiets TensorFlow, which the lines below import)

# isort: split
import dataclasses
import hashlib
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from absl import flags
from machine import describe_machine

from common.attacks import Attack, CompiledAttack, MultiTargeted
from common.attacks.by_name import make_attack, most_targets
from common.data.batches import Examples
from common.evaluation import concurrent_batches
from common.evaluation.accuracy import Judge, Outcome
from common.evaluation.cascade import compiled_accuracy
from common.evaluation.cascades_by_name import preset
from common.evaluation.crafting import Crafting
from common.evaluation.verdict import SURVIVES, Verdict
from common.files import write_json
from common.networks.logits import ModelLogits
from common.programs import cli
from common.threat_model import LinfBall

FLAGS = flags.FLAGS
DOCS = pathlib.Path(__file__).parent.parent / 'docs'

BALL, BATCH = LinfBall(1e-6), 50
BASE = {'images': 1000, 'steps': 10, 'restarts': 1, 'classes': 10}
VARIED = {
    'images': (500, 1000, 2000, 4000),
    'steps': (5, 10, 20, 40),
    'restarts': (1, 2, 4, 8),
    'classes': (10, 100, 1000),
}
DEVICES = {'one device, one batch at a time': (1, 1), 'one device': (1, 2), 'two devices': (2, 2)}

IMAGENET = {
    'images': 50_000,
    'classes': 1000,
    'steps': 20,  # of plain PGD, the cascade's first attack
    'batch': 32,
    # Images that survive, as RobustBench lists for the ResNet-50 of Salman et al. 2020 at
    # epsilon 4/255, to the percent; plain PGD is taken to break all the others.
    'survive': 0.35,
    # Images per second of training on one A100 80GB: ResNet50 v1.5 for PyTorch in NVIDIA's
    # DeepLearningExamples, "Training performance: NVIDIA DGX A100 (8x A100 80GB)", 1 GPU.
    'training': {'TF32': 938, 'mixed precision': 2470},
    # In forward passes: both passes backward in training, one of them for an image's gradient.
    'training_costs': 3,
    'gradient_costs': 2,
    'gpus': (1, 8, 256),
}


def define_flags() -> None:
    """Defines this program's flags."""
    flags.DEFINE_string('output', str(DOCS / 'scaling.json'), 'File for the record.')
    flags.DEFINE_string('page', str(DOCS / 'scaling.md'), 'Page whose tables are written.')
    flags.DEFINE_integer('repeats', 3, 'Measurements of each point.', lower_bound=1)
    flags.DEFINE_string('devices', None, 'Used by the program itself: devices,workers.')


def main() -> None:
    """Measures, and writes the record and the page's tables."""
    if FLAGS.devices:
        print(json.dumps(_on_devices(*map(int, FLAGS.devices.split(',')))))
        return
    load = [os.getloadavg()]
    curves = {name: _curve(name, values) for name, values in VARIED.items()}
    devices = _devices()
    load.append(os.getloadavg())
    record = {
        'command': 'python benchmarks/scaling.py',
        'machine': describe_machine(),
        'load_average_before_and_after': load,
        'repeats': FLAGS.repeats,
        'base': BASE | {'batch': BATCH},
        'curves': curves,
        'devices': devices,
        'imagenet': imagenet(),
    }
    write_json(FLAGS.output, record)
    page = pathlib.Path(FLAGS.page)
    page.write_text(with_tables(page.read_text(), record))
    print('\n\n'.join(tables(record).values()))


def _network(classes: int) -> tuple[ModelLogits, Callable[[int], Examples]]:
    """A small network, and n drawn images that it classifies correctly."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((16, 16, 1)),
            keras.layers.Conv2D(8, 3, activation='relu'),
            keras.layers.MaxPooling2D(2),
            keras.layers.Flatten(),
            keras.layers.Dense(32, activation='relu'),
            keras.layers.Dense(classes),
        ]
    )

    def examples(n: int) -> Examples:
        x = np.random.default_rng(0).random((n, 16, 16, 1), np.float32)
        return Examples(x, np.argmax(model.predict(x, verbose=0), axis=1).astype(np.int32), '')

    return ModelLogits(model), examples


def _attack(steps: int, classes: int, *, method: str = 'pgd') -> Attack:
    return make_attack(method, BALL, steps=steps, step_size=1e-7, num_classes=classes)


def _evaluation(
    network: ModelLogits, examples: Examples, attack: Attack, restarts: int
) -> Callable[[], Outcome]:
    """A function that evaluates, once everything is compiled."""
    perturb, judge = CompiledAttack(attack, network), Judge(network)

    def run(subset: slice = slice(None), times: int = restarts) -> Outcome:
        return compiled_accuracy(
            perturb, judge, examples.subset(subset), crafting=Crafting(BATCH), restarts=times
        )

    run(slice(2 * BATCH), 1)
    return run


def _measured(work: Callable[[], Outcome]) -> dict[str, float]:
    """Seconds of the processor (all threads) and of the clock, and gradients."""
    wall, processor = time.perf_counter(), time.process_time()
    outcome = work()
    found = {
        'processor_seconds': time.process_time() - processor,
        'wall_seconds': time.perf_counter() - wall,
        'gradients': outcome.gradients,
    }
    assert outcome.accuracy == 1, 'an image was broken and spent less than the others'
    return found


def _medians(works: dict[Any, Callable[[], Outcome]]) -> dict[Any, dict[str, float]]:
    """The median of some measurements of each, taken in turns."""
    rounds = [{name: _measured(work) for name, work in works.items()} for _ in range(FLAGS.repeats)]
    return {
        name: {key: statistics.median(r[name][key] for r in rounds) for key in rounds[0][name]}
        for name in works
    }


def _curve(name: str, values: tuple[int, ...]) -> list[dict[str, float]]:
    works = {}
    for value in values:
        setting = BASE | {name: value}
        network, examples = _network(setting['classes'])
        method = 'apgd_t' if name == 'classes' else 'pgd'
        attack = _attack(setting['steps'], setting['classes'], method=method)
        works[value] = _evaluation(
            network, examples(setting['images']), attack, setting['restarts']
        )
    return [{name: value, **found} for value, found in _medians(works).items()]


def _devices() -> list[dict[str, Any]]:
    """The same evaluation on one logical device and on two, each in a process of its own."""
    found = []
    for name, (devices, workers) in DEVICES.items():
        process = subprocess.run(
            [sys.executable, __file__, f'--devices={devices},{workers}']
            + [f'--repeats={FLAGS.repeats}'],
            capture_output=True,
            text=True,
            check=True,
        )
        found.append({'name': name, **json.loads(process.stdout.splitlines()[-1])})
    return found


def _on_devices(devices: int, workers: int) -> dict[str, Any]:
    cpu = tf.config.list_physical_devices('CPU')[0]
    tf.config.set_logical_device_configuration(
        cpu, [tf.config.LogicalDeviceConfiguration()] * devices
    )
    concurrent_batches.devices = lambda: [f'CPU:{i}' for i in range(devices)]
    concurrent_batches.workers = lambda: workers
    network, examples = _network(BASE['classes'])
    run = _evaluation(network, examples(4000), _attack(20, BASE['classes']), 1)
    outcome = run()
    digest = hashlib.sha256(outcome.predictions.tobytes() + np.float32(outcome.loss).tobytes())
    return {**_medians({0: run})[0], 'results': digest.hexdigest()[:16]}


def imagenet() -> dict[str, Any]:
    """What the standard cascade of ImageNet's validation images costs, by the cascade's counts."""
    given = IMAGENET
    stages = preset(
        'standard',
        LinfBall(4 / 255),
        steps=given['steps'],
        step_size=1 / 255,
        num_classes=given['classes'],
    )
    n, results = given['images'], {}
    for name, survive in (('expected', given['survive']), ('at most', 1.0)):
        zeros = np.zeros(n, np.int32)
        broken_by = np.where(np.arange(n) < survive * n, SURVIVES, 0).astype(np.int32)
        verdict = Verdict(stages, broken_by, zeros, zeros, zeros, np.zeros(len(stages)))
        results[name] = {
            'survive': survive,
            'gradients': int(verdict.gradients.sum()),
            'queries': int(verdict.queries.sum()),
            'gradients_of_a_survivor': int(verdict.gradients[0]),
            'queries_of_a_survivor': int(verdict.queries[0]),
            'hours': {
                precision: {str(gpus): _hours(verdict, gpus, rate) for gpus in given['gpus']}
                for precision, rate in given['training'].items()
            },
        }
    everything = [
        dataclasses.replace(
            stage.attack, targets=stage.attack.targets + given['classes'] - 1 - most_targets(1000)
        ).gradients
        if isinstance(stage.attack, MultiTargeted) and stage.attack.targets > 1
        else stage.attack.gradients * stage.restarts
        for stage in stages
    ]
    return {
        'assumed': given,
        'stages': [
            {
                'name': stage.name,
                'restarts': stage.restarts,
                'gradients': stage.attack.gradients,
                'queries': stage.queries,
            }
            for stage in stages
        ],
        **results,
        'gradients_of_a_survivor_with_all_classes': sum(everything),
    }


def _hours(verdict: Verdict, gpus: int, training: float) -> float:
    """Wall time on so many GPUs, which take a batch at a time."""
    forward = 1 / (training * IMAGENET['training_costs'])  # seconds an image
    seconds = 0.0
    for result in verdict.results:
        stage, batch = result.stage, IMAGENET['batch']
        batches = -(-result.images // batch)
        passes = IMAGENET['gradient_costs'] * stage.attack.gradients + stage.queries
        seconds += stage.restarts * -(-batches // gpus) * batch * passes * forward
    return seconds / 3600


def with_tables(page: str, record: dict[str, Any]) -> str:
    """The page with the record's tables between its marks."""
    for name, table in tables(record).items():
        marks = f'<!-- {name} -->', f'<!-- end of {name} -->'
        pattern = f'{re.escape(marks[0])}.*?{re.escape(marks[1])}'
        page, found = re.subn(
            pattern, lambda _, t=table, m=marks: f'{m[0]}\n\n{t}\n\n{m[1]}', page, flags=re.DOTALL
        )
        assert found == 1, f'expected the marks of {name!r} once; found them {found} times'
    return page


def tables(record: dict[str, Any]) -> dict[str, str]:
    """Name -> Markdown."""
    found = {'machine': _machine(record)}
    for name, points in record['curves'].items():
        x, y = ([point[key] for point in points] for key in (name, 'processor_seconds'))
        rows = [
            [
                f'{point[name]:,}',
                f'{point["gradients"]:,}',
                f'{point["processor_seconds"]:.2f}',
                f'{point["wall_seconds"]:.2f}',
                f'{point["processor_seconds"] / point["gradients"] * 1e6:.1f}',
            ]
            for point in points
        ]
        head = [name, 'gradients', 'processor s', 'wall s', 'processor us a gradient']
        found[name] = f'{_table(head, rows)}\n\n{_growth(name, x, y)}'
    rows = [
        [
            d['name'],
            f'{d["processor_seconds"]:.2f}',
            f'{d["wall_seconds"]:.2f}',
            f'`{d["results"]}`',
        ]
        for d in record['devices']
    ]
    found['devices'] = _table(['', 'processor s', 'wall s', 'results (digest)'], rows)
    found['imagenet'] = _imagenet_table(record['imagenet'])
    return found


def _machine(record: dict[str, Any]) -> str:
    before, after = (load[0] for load in record['load_average_before_and_after'])
    return _filled(
        f'{record["machine"]}; load average {before:.1f} before and {after:.1f} after; medians of '
        f'{record["repeats"]}.'
    )


def _growth(name: str, x: list[float], y: list[float]) -> str:
    if name == 'classes':
        return _filled(
            f'{x[-1] // x[0]} times as many classes take {y[-1] / y[0]:.2f} times as long; with '
            f'all of them as targets there would be {(x[-1] - 1) / (x[0] - 1):.0f} times as many '
            'gradients.'
        )
    slope, start = np.polyfit(x, y, 1)
    off = max(abs(start + slope * a - b) / b for a, b in zip(x, y, strict=True))
    return _filled(
        f'{x[-1] // x[0]} times as many {name} take {y[-1] / y[0]:.2f} times as long. The line '
        f'{slope * 1e3:.3g} ms each + {start:.2g} s is off by at most {off:.0%}.'
    )


def _imagenet_table(found: dict[str, Any]) -> str:
    gpus = [str(count) for count in found['assumed']['gpus']]
    rows = []
    for name in ('expected', 'at most'):
        for precision, hours in found[name]['hours'].items():
            rows.append(
                [
                    f'{found[name]["survive"]:.0%} survive',
                    precision,
                    f'{found[name]["gradients"] / 1e6:,.0f} million',
                    f'{found[name]["queries"] / 1e6:,.0f} million',
                    *(_words(hours[count]) for count in gpus),
                ]
            )
    head = ['', 'precision', 'gradients', 'queries', *(f'{count} GPUs' for count in gpus)]
    head[4] = '1 GPU'
    survivor = _filled(
        f'A survivor costs {found["expected"]["gradients_of_a_survivor"]:,} gradients and '
        f'{found["expected"]["queries_of_a_survivor"]:,} queries; with all 999 wrong classes it '
        f'would be {found["gradients_of_a_survivor_with_all_classes"]:,} gradients.'
    )
    return f'{_table(head, rows)}\n\n{survivor}'


def _words(hours: float) -> str:
    if hours >= 10:
        return f'{hours:,.0f} h'
    return f'{hours:.1f} h' if hours >= 2 else f'{60 * hours:.0f} min'


def _filled(words: str) -> str:
    return textwrap.fill(words, 100)


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ['---'] * len(head), *rows]
    return '\n'.join(f'| {" | ".join(line)} |' for line in lines)


if __name__ == '__main__':
    cli.run(main, define_flags)
