"""What figures need to know about a data set, and where they keep what they computed."""

import dataclasses
import functools
import pathlib
import sys
from collections.abc import Callable, Mapping, Sequence
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
from common.report.claims import Claim
from common.report.exhibit import Exhibit, Picture, Table
from common.transfer import Source, Sources, transfer_accuracies

CHOSEN = 'drawn from those that both networks classify correctly'
"""How `Study.images` were chosen, for an exhibit's setting."""

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
        command: what the user typed, without --figure.
        output_dir: folder of the exhibits; its subfolder cache/ keeps what was computed.
        budget: one of BUDGETS.
        crafting: batch size, seed (of everything random), precision and compiler of attacks.
        variant: end of the exhibits' names, where the setting is not the default one.
        remark: end of the exhibits' titles in that case; begins with a space.
        every: `test` is every k-th image of the whole test set.
        compared: the two networks that the paper's figures compare: reference -> how it was
            trained, in words; the naturally trained one first, the adversarially trained one
            second.
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
    compared: Mapping[str, str] = dataclasses.field(kw_only=True)

    @property
    def quick(self) -> bool:
        """Whether each figure should take only a minute or two."""
        return self.budget == QUICK

    @property
    def seed(self) -> int:
        """Seed of everything random."""
        return self.crafting.seed

    @property
    def adversarial(self) -> str:
        """Reference of the adversarially trained network of the two compared."""
        _, adversarial = self.compared
        return adversarial

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
        """The network's judge, which always uses float32."""
        return self.network(reference).judge

    def images(self, count: int, classified_by: Sequence[str] | None = None) -> list[int]:
        """Positions in `test` of images, drawn by the seed.

        Args:
            count: how many.
            classified_by: references of networks that all classify these images correctly, since
                an image misclassified without an attack says nothing about one; None for
                `compared`.

        Raises:
            UserError: there are not that many, or a network is missing.
        """
        references = list(self.compared) if classified_by is None else classified_by
        rng = np.random.default_rng(self.seed)
        order = rng.choice(len(self.test), min(count, len(self.test)), replace=False)
        order = [*order, *rng.permutation(np.setdiff1d(np.arange(len(self.test)), order))]
        chosen = []
        for i in range(0, len(order), count):
            chosen += [int(j) for j in order[i : i + count] if self._correct(j, references)]
            if len(chosen) >= count:
                return sorted(chosen[:count])
        raise UserError(
            f'expected at least {count} images that {" and ".join(references)} classify '
            f'correctly; found {len(chosen)} among {len(self.test)}. Take more images (--every, '
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
        """The cached result of that name; each network and setting has its own file.

        Args:
            name: of the computation.
            reference: the network.
            *determines: everything else that the result depends on, besides images, seed and
                precision.
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
        """Accuracy of `target` on examples crafted on `source`, from the cache if possible.

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

    def draw(
        self, name: str, words: str, kind: str, *contents: Any, **labels: Any
    ) -> list[Picture]:
        """Draws a picture with matplotlib, which is optional: without it, warns and draws nothing.

        Args:
            name: end of the file's name.
            words: what the picture shows.
            kind: a function of `common.report.plots`.
            *contents: its arguments after the path.
            **labels: its keyword arguments.
        """
        path = self.output_dir / f'{self.key}_{name}{self.variant}.png'
        try:
            from common.report import plots
        except ModuleNotFoundError as error:
            if error.name != 'matplotlib':
                raise
            print(
                f'warning: {path.name} was not drawn, because matplotlib is not installed; the '
                'numbers are complete. For pictures: pip install matplotlib',
                file=sys.stderr,
            )
            return []
        getattr(plots, kind)(path, *contents, **labels)
        return [Picture(path.name, words)]

    def exhibit(
        self,
        name: str,
        title: str,
        *,
        setting: str,
        networks: Sequence[str],
        tables: Sequence[Table],
        pictures: Sequence[Picture],
        data: Any,
        claims: Sequence[Claim] = (),
        remarks: Sequence[str] = (),
        on_test_images: bool = True,
    ) -> Exhibit:
        """The finished exhibit, with everything that is the same for every figure.

        Args:
            name: of the figure, as in the exhibit's key.
            title: a line.
            setting: this figure's own.
            networks: references.
            tables: numbers for reading.
            pictures: image files.
            data: all numbers.
            claims: of the paper.
            remarks: sentences.
            on_test_images: whether to add this study's images, budget, seed and precision to
                `setting`.
        """
        images = f'{self.test.name}, {len(self.test):,} images'
        if self.every > 1:
            images += f' (those numbered 0, {self.every}, {2 * self.every} and so on)'
        precision = ' by '.join(self.crafting.precision)
        own = f'budget {self.budget}, seed {self.seed}, crafted in {precision}'
        return Exhibit(
            key=f'{self.key}_{name}{self.variant}',
            title=f'{self.title}: {title}{self.remark}',
            command=f'{self.command} --figure={name.removeprefix("figure_")}',
            setting=f'{images}; {setting}; {own}' if on_test_images else setting,
            # Folders by their names: their paths mean nothing on another machine.
            networks={_short(n): weights_digest(self.network(n).model) for n in networks},
            claims=tuple(claims),
            remarks=tuple(remarks),
            tables=tuple(tables),
            pictures=tuple(pictures),
            data=data,
        )


def _short(reference: str) -> str:
    return pathlib.Path(reference).name
