"""Speed of PGD on network A on a GPU through XLA, compared with PyTorch; needs no TensorFlow.

    python benchmarks/run_exported.py exported

Measures image gradients per second of the attacks that benchmarks/export_attack.py wrote: images
times steps, divided by wall time without compilation. Variants alternate; the result is the median
of the repeats. This project's float32 is float32 throughout; PyTorch's convolutions use
TensorFloat-32 on GPUs that have it.
"""

import importlib
import json
import pathlib
import statistics
import sys
import time
from collections.abc import Callable

import jax
import jax.export
import numpy as np

REPEATS = 10
Craft = Callable[[], object]
"""Runs one attack on one batch; done when it returns."""


def main() -> None:
    """Measures and prints a table."""
    if len(sys.argv) != 2 or not (pathlib.Path(sys.argv[1]) / 'settings.json').is_file():
        sys.exit(
            'expected the folder that benchmarks/export_attack.py wrote; found '
            f'{" ".join(sys.argv[1:]) or "nothing"}'
        )
    folder = pathlib.Path(sys.argv[1])
    settings = json.loads((folder / 'settings.json').read_text())
    print(f'{jax.devices()[0].device_kind}, JAX {jax.__version__}')
    print(f'{"batch":>5}  {"variant":<34}{"gradients/s":>12}{"TFLOP/s":>9}{"compiled in":>13}')
    for batch_size in sorted({variant['batch_size'] for variant in settings['variants']}):
        crafts = {**_ours(folder, settings, batch_size), **_torch(folder, settings, batch_size)}
        for name, (rate, first) in _measure(crafts, batch_size * settings['steps']).items():
            flops = rate * settings['flop_per_gradient']
            print(
                f'{batch_size:>5}  {name:<34}{rate:>12,.0f}{flops / 1e12:>9.1f}{first:>11.1f} s',
                flush=True,
            )


def _measure(crafts: dict[str, Craft], gradients: int) -> dict[str, tuple[float, float]]:
    """Name -> image gradients per second, and the seconds that the first attack took."""
    seconds = {name: [] for name in crafts}
    for _ in range(1 + REPEATS):  # the first round compiles and is not counted
        for name, craft in crafts.items():
            start = time.perf_counter()
            craft()
            seconds[name].append(time.perf_counter() - start)
    return {
        name: (gradients / statistics.median(times[1:]), times[0])
        for name, times in seconds.items()
    }


def _examples(settings: dict, batch_size: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return (
        rng.random((batch_size, *settings['image_shape']), np.float32),
        rng.integers(0, settings['num_classes'], batch_size).astype(np.int32),
    )


def _weights(folder: pathlib.Path) -> list[np.ndarray]:
    with np.load(folder / 'weights.npz') as weights:
        return [weights[name] for name in weights.files]


def _ours(folder: pathlib.Path, settings: dict, batch_size: int) -> dict[str, Craft]:
    weights = list(map(jax.device_put, _weights(folder)))
    x, y = map(jax.device_put, _examples(settings, batch_size))
    seed = jax.device_put(np.array([0, 1], np.int32))

    def craft(variant: dict) -> Craft:
        attack = jax.jit(jax.export.deserialize((folder / variant['file']).read_bytes()).call)
        return lambda: jax.block_until_ready(attack(weights, x, y, seed))

    return {
        f'this project, {variant["arrangement"]}, {variant["dtype"]}': craft(variant)
        for variant in settings['variants']
        if variant['batch_size'] == batch_size
    }


def _torch(folder: pathlib.Path, settings: dict, batch_size: int) -> dict[str, Craft]:
    try:
        torch = importlib.import_module('torch')
    except ModuleNotFoundError:
        return {}
    in_torch = importlib.import_module('network_in_torch')
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    network = in_torch.NetworkA(_weights(folder)).eval()
    network = network.requires_grad_(False).to(device, memory_format=torch.channels_last)
    x, y = _examples(settings, batch_size)
    x = torch.from_numpy(x.transpose(0, 3, 1, 2).copy()).to(device)
    y = torch.from_numpy(y).long().to(device)

    def craft(bfloat16: bool) -> Craft:
        return lambda: in_torch.pgd(
            network,
            x,
            y,
            epsilon=settings['epsilon'],
            step_size=settings['step_size'],
            steps=settings['steps'],
            bfloat16=bfloat16,
        ).cpu()

    return {
        f'PyTorch, channels last, {dtype}': craft(dtype == 'bfloat16')
        for dtype in ('float32', 'bfloat16')
    }


if __name__ == '__main__':
    main()
