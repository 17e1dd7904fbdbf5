"""What the figures have to know of a data set, and where they keep what they computed."""

import dataclasses
import functools
import pathlib
import sys
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from common.attacks import PGD, Attack
from common.data.batches import Examples
from common.errors import UserError
from common.evaluation.accuracy import Judge, Outcome
from common.evaluation.crafting import Crafting
from common.evaluation.resumable import PartialResult
from common.networks.logits import LogitsFn
from common.networks.weights import weights_digest
from common.report.exhibit import Exhibit, Picture, Table
from common.transfer import Source, Sources, transfer_accuracies

NETWORKS = {'A_nat': 'naturally trained', 'A': 'adversarially trained'}
"""The two networks that the paper's figures compare, and how each was trained."""
CHOSEN = 'drawn from those that both networks classify correctly'
"""What `Study.images` are, for settings."""

QUICK, FULL = 'quick', 'full'
BUDGETS = (FULL, QUICK)


@dataclasses.dataclass(frozen=True)
class Study:
    """One data set with its networks, its threat model, and a folder for results.

    Attributes:
        key: beginning of the exhibits' names.
        title: the data set's name.
        test: the images.
        load: reference -> network.
        pgd: the adversary of the paper's evaluation.
        unit: of pixels, in words.
        command: what the user typed, but for --figure.
        output_dir: folder of the exhibits; its subfolder cache/ keeps what was computed.
        budget: one of BUDGETS.
        crafting: batch size, seed (of everything random), precision and compiler of attacks.
        variant: end of the exhibits' names, where the setting is not the default one.
        remark: end of their titles likewise, which begins with a space.
        every: `test` is every k-th image of the whole test set.
    """

    key: str
    title: str
    test: Examples
    load: Callable[[str], keras.Model]
    pgd: PGD
    unit: str
    command: str
    output_dir: pathlib.Path
    budget: str = FULL
    crafting: Crafting = Crafting(200)
    variant: str = ''
    remark: str = ''
    every: int = 1

    @property
    def quick(self) -> bool:
        """Whether a minute or two has to do."""
        return self.budget == QUICK

    @property
    def seed(self) -> int:
        """Seed of everything random."""
        return self.crafting.seed

    @functools.cached_property
    def _networks(self) -> Sources:
        return Sources(self.load)

    def network(self, reference: str) -> Source:
        """The network, loaded once.

        Raises:
            UserError: there is no such network.
        """
        return self._networks[reference]

    def logits(self, reference: str) -> LogitsFn:
        """The network as attacks compute it."""
        return self.crafting.logits(self.network(reference).model)

    def judge(self, reference: str) -> Judge:
        """Judges images by the network in float32, whatever attacks compute in."""
        return self.network(reference).judge

    def images(self, count: int, classified_by: Sequence[str] = tuple(NETWORKS)) -> list[int]:
        """Positions in `test` of images, drawn by the seed.

        Args:
            count: how many.
            classified_by: references of networks which all classify these images correctly: what
                is misclassified without an attack tells nothing of one.

        Raises:
            UserError: there are not so many, or a network is not there.
        """
        rng = np.random.default_rng(self.seed)
        order = rng.choice(len(self.test), min(count, len(self.test)), replace=False)
        order = [*order, *rng.permutation(np.setdiff1d(np.arange(len(self.test)), order))]
        found = []
        for i in range(0, len(order), count):
            found += [int(j) for j in order[i : i + count] if self._correct(j, classified_by)]
            if len(found) >= count:
                return sorted(found[:count])
        raise UserError(
            f'expected at least {count} images that {" and ".join(classified_by)} classify '
            f'correctly; found {len(found)} among {len(self.test)}. Take more images (--every, '
            '--num_examples, --budget).'
        )

    def _correct(self, image: int, references: Sequence[str]) -> bool:
        x = tf.constant(self.test.x[image : image + 1])
        y = tf.constant(self.test.y[image : image + 1])
        return all(self.judge(name)(x, y)[0] == y.numpy() for name in references)

    def number(self, image: int) -> int:
        """The image at that position of `test`, as numbered in the whole test set."""
        return image * self.every

    def partial(self, name: str, reference: str, *determines: Any) -> PartialResult:
        """The cached result of that name: a file for each network and setting of its own.

        Args:
            name: of the computation.
            reference: the network.
            *determines: whatever else the result depends on, besides images, seed and precision.
        """
        return PartialResult.of(
            self.output_dir / 'cache',
            name,
            weights_digest(self.network(reference).model),
            self.test.digest(),
            self.seed,
            *self.crafting.precision,
            *determines,
        )

    def accuracy(self, attack: Attack, source: str, target: str) -> Outcome:
        """Accuracy of `target` on examples crafted on `source`, from the cache if it is there.

        Args:
            attack: the attack.
            source: reference of the network whose gradients are followed.
            target: reference of the network judged.
        """
        return self.accuracies(attack, source, [target])[0]

    def accuracies(self, attack: Attack, source: str, targets: Sequence[str]) -> list[Outcome]:
        """`accuracy` of several networks on the same examples."""
        return transfer_accuracies(
            attack,
            self.network(source),
            [self.network(target) for target in targets],
            self.test,
            crafting=self.crafting,
            progress=f'{", ".join(map(_short, targets))} attacked from {_short(source)}',
            partial_folder=self.output_dir / 'cache',
        )

    def path(self, name: str) -> pathlib.Path:
        """Where a picture goes."""
        return self.output_dir / f'{self.key}_{name}{self.variant}.png'

    def exhibit(
        self,
        name: str,
        title: str,
        *,
        setting: str,
        networks: Sequence[str],
        remarks: Sequence[str],
        tables: Sequence[Table],
        pictures: Sequence[Picture],
        data: Any,
        on_test_images: bool = True,
    ) -> Exhibit:
        """The finished exhibit, with all that is the same for every figure.

        Args:
            name: of the figure, as the exhibit's key has it.
            title: a line.
            setting: what is particular to it.
            networks: references.
            remarks: sentences.
            tables: numbers for reading.
            pictures: likewise.
            data: all numbers.
            on_test_images: whether `setting` goes on after images, budget, seed and precision of
                this study; False if it has nothing of these.
        """
        images = f'{self.test.name}, {len(self.test):,} images'
        if self.every > 1:
            images += f' (those numbered 0, {self.every}, {2 * self.every} and so on)'
        return Exhibit(
            key=f'{self.key}_{name}{self.variant}',
            title=f'{self.title}: {title}{self.remark}',
            command=f'{self.command} --figure={name.removeprefix("figure_")}',
            setting=setting
            if not on_test_images
            else (
                f'{images}; {setting}; budget {self.budget}, seed {self.seed}, crafted in '
                f'{" by ".join(self.crafting.precision)}'
            ),
            # Folders by their names: where they lie says nothing to others.
            networks={_short(n): weights_digest(self.network(n).model) for n in networks},
            remarks=tuple(remarks),
            tables=tuple(tables),
            pictures=tuple(pictures),
            data=data,
        )


def _short(reference: str) -> str:
    return pathlib.Path(reference).name


def draw(
    path: pathlib.Path, words: str, plot: Callable[[Any, pathlib.Path], None]
) -> list[Picture]:
    """A picture by matplotlib, which is optional: without it a warning, and no picture.

    Args:
        path: of the PNG file.
        words: what it shows.
        plot: (module `common.report.plots`, path) -> None; draws it.
    """
    try:
        from common.report import plots
    except ModuleNotFoundError as error:
        if error.name != 'matplotlib':
            raise
        print(
            f'warning: {path.name} was not drawn, because matplotlib is not installed; the '
            'numbers are there. To have pictures: pip install matplotlib',
            file=sys.stderr,
        )
        return []
    plot(plots, path)
    return [Picture(path.name, words)]
