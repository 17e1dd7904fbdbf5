"""What figures need to know about a data set, and where they keep what they computed."""

import dataclasses
import functools
import pathlib
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from common.attacks import PGD, Attack
from common.data.batches import Examples
from common.errors import UserError
from common.evaluation.accuracy import Judge, Outcome
from common.evaluation.crafting import Crafting
from common.evaluation.loss_landscape import BATCH_SIZE, Restarting
from common.evaluation.resumable import PartialResult
from common.networks.logits import LogitsFn
from common.networks.weights import weights_digest
from common.report.exhibit import Exhibit, Picture
from common.statistics import counted
from common.transfer import Source, Sources, transfer_accuracies

CHOSEN = 'drawn from those that both networks classify correctly'
"""How `Study.images` were chosen, for an exhibit's setting."""


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
        budget: 'full' or 'quick'.
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
    budget: str = 'full'
    crafting: Crafting = Crafting(200)
    variant: str = ''
    remark: str = ''
    every: int = 1
    compared: Mapping[str, str] = dataclasses.field(kw_only=True)

    @property
    def quick(self) -> bool:
        """Whether each figure should take only a minute or two."""
        return self.budget == 'quick'

    @property
    def seed(self) -> int:
        """Seed of everything random."""
        return self.crafting.seed

    @property
    def adversarial(self) -> str:
        """Reference of the adversarially trained network of the two compared."""
        _, adversarial = self.compared
        return adversarial

    @property
    def natural(self) -> PGD:
        """No attack at all."""
        return dataclasses.replace(self.pgd, steps=0, random_start=False)

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

    def restarting(self, reference: str, restarts: int, attack: PGD | None = None) -> Restarting:
        """So many random restarts of the study's PGD, or of another, on one network."""
        return Restarting(
            attack or self.pgd,
            self.logits(reference),
            self.judge(reference),
            seed=self.seed,
            batch_size=min(restarts, BATCH_SIZE),
        )

    def in_words(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Values of the two networks compared, by how these were trained."""
        return {words: values[name] for name, words in self.compared.items()}

    def images(self, count: int = 4) -> list[int]:
        """Positions in `test` of images that both networks classify correctly, drawn by the seed.

        An image misclassified without an attack says nothing about one.

        Raises:
            UserError: there are not that many, or a network is missing.
        """
        n = len(self.test)
        rng = np.random.default_rng(self.seed)
        first = rng.choice(n, min(count, n), replace=False)
        order = np.append(first, rng.permutation(np.setdiff1d(np.arange(n), first)))
        chosen: list[int] = []
        for i in range(0, n, count):
            drawn = order[i : i + count]
            x, y = self.test.x[drawn], self.test.y[drawn]
            right = [self.judge(name)(x, y)[0] == y for name in self.compared]
            chosen += drawn[np.all(right, axis=0)].tolist()
            if len(chosen) >= count:
                return sorted(chosen[:count])
        raise UserError(
            f'expected at least {count} images that {" and ".join(self.compared)} classify '
            f'correctly; found {len(chosen)} among {n}. Take more images (--every, '
            '--num_examples, --budget).'
        )

    def numbers(self, images: Sequence[int]) -> list[int]:
        """The images at those positions of `test`, as numbered in the whole test set."""
        return [image * self.every for image in images]

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
            if (error.name or '').partition('.')[0] != 'matplotlib':
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
        networks: Iterable[str] | None = None,
        on_test_images: bool = True,
        **parts: Any,
    ) -> Exhibit:
        """The finished exhibit, with everything that is the same for every figure.

        Args:
            name: of the figure, as in the exhibit's key.
            title: a line.
            setting: this figure's own.
            networks: references; by default the two compared.
            on_test_images: whether to add this study's images, budget, seed and precision to
                `setting`.
            **parts: the exhibit's other fields: claims, remarks, tables, pictures, data.
        """
        images = f'{self.test.name}, {counted(len(self.test), "image")}'
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
            networks={
                _short(n): weights_digest(self.network(n).model) for n in networks or self.compared
            },
            **{
                name: tuple(part) if isinstance(part, list) else part
                for name, part in parts.items()
            },
        )


def _short(reference: str) -> str:
    return pathlib.Path(reference).name
