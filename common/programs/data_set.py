"""DataSet: everything that programs need to know about a data set, in one value."""

import dataclasses
from collections.abc import Callable, Mapping

import keras

from common.attacks import PGD
from common.data.augmentation import Augment
from common.data.batches import Examples
from common.losses import CrossEntropy, Loss
from common.networks.challenge_models import Release
from common.networks.registry import Networks
from common.report.figures.catalogue import FigureRanges
from common.report.paper_table import PaperTable
from common.threat_model import Ball, LinfBall
from common.training.config import TrainingConfig

Load = Callable[..., Examples]
"""(split, *, dataset, data_dir) -> all images of 'train' or 'test' in their original order.

`dataset` is one of the data set's `names`; `data_dir` is a folder of data sets prepared by TFDS, or
None. Raises `common.data.archive.Unavailable` where the images are not there.
"""


@dataclasses.dataclass(frozen=True)
class ChallengeModels:
    """The models that the challenge's authors released.

    Attributes:
        releases: name -> zip with a TF1 checkpoint.
        network: builds a network of the released architecture, with arbitrary weights.
        import_tf1: copies the weights of a TF1 checkpoint, given by its prefix, into such a
            network.
        export_tf1: writes the weights of such a network, of any width, as a TF1 checkpoint with
            that prefix and global step.
    """

    releases: Mapping[str, Release]
    network: Callable[[], keras.Model]
    import_tf1: Callable[[keras.Model, str], None]
    export_tf1: Callable[[keras.Model, str, int], None]


@dataclasses.dataclass(frozen=True)
class DataSet:
    """One data set, its networks, and the values that the paper and its challenge set for it.

    Attributes:
        key: such as 'mnist': prefix of file names, key in the manifest, package of its programs.
        title: name for readers, such as 'MNIST'.
        names: choices of --dataset: the real images first, a drawn stand-in (if any) last.
        load: loads the images of a split.
        lower: smallest pixel value, the same from the loader to the submission.
        upper: largest pixel value.
        classes: names of the classes.
        epsilon: radius of the challenge's ball, in pixel units.
        steps: PGD steps of the paper's evaluation.
        step_size: size of a PGD step, in pixel units.
        watched_steps: PGD steps of the program `eval`; None for `steps`.
        batch_size: images per batch in evaluations; the challenge's eval_batch_size.
        submission_shape: shape of one image in a submission.
        networks: builds and loads networks.
        first_look_every: the quick start attacks every n-th test image, unless flags say otherwise.
        first_look_picture: file for the quick start's picture; None for one named after `key`.
        drawn: the stand-in's images in words, for a sentence that begins with 'the images are'.
        kind_of_ball: the threat model, without its radius and the pixel range.
        training: default settings of a training run, the challenge's own.
        recipes: name -> settings; the first recipe is `training` itself.
        augmentation: what --augment does to training images before the attack, if anything.
        holds_out_last: whether the last training images are held out, rather than the first.
        compared: the two released networks that the paper's figures compare -> how each was
            trained, in words; the naturally trained one first.
        compared_alike: released networks whose trainings differ only in the adversary; claims about
            transfer compare these. None for all released networks.
        table: the paper's table for this data set, if there is one.
        table_name: what the paper calls the table.
        more_tables: column name -> further published numbers.
        figure_ranges: the values at which figures measure accuracy; None for no such figures.
        capacity: (data set, study, train, epsilon, name, data_dir) -> figure 3's study and its
            networks; None for no such figure.
        capacity_epsilon: radius of figure 3, if it differs from `epsilon`.
        challenge_models: the models that `fetch_model` downloads, if any.
    """

    key: str
    title: str
    names: tuple[str, ...]
    load: Load
    lower: float
    upper: float
    classes: tuple[str, ...]
    epsilon: float
    steps: int
    step_size: float
    batch_size: int
    submission_shape: tuple[int, ...]
    networks: Networks
    first_look_every: int = 10
    first_look_picture: str | None = None
    drawn: str = 'drawn patterns, which the released networks have not learned to classify'
    kind_of_ball: type[Ball] = LinfBall
    watched_steps: int | None = None
    training: TrainingConfig | None = None
    recipes: Mapping[str, TrainingConfig] = dataclasses.field(default_factory=dict)
    augmentation: Augment | None = None
    holds_out_last: bool = False
    compared: Mapping[str, str] = dataclasses.field(default_factory=dict)
    compared_alike: tuple[str, ...] | None = None
    table: PaperTable | None = None
    table_name: str = 'Table 1'
    more_tables: Mapping[str, PaperTable] = dataclasses.field(default_factory=dict)
    figure_ranges: FigureRanges | None = None
    capacity: Callable[..., tuple] | None = None
    capacity_epsilon: float | None = None
    challenge_models: ChallengeModels | None = None

    @property
    def papers(self) -> dict[str, Callable[..., float | None]]:
        """Column name -> function that looks up the column's published numbers."""
        tables = {**({'paper': self.table} if self.table else {}), **self.more_tables}
        return {name: table.accuracy for name, table in tables.items()}

    @property
    def unit(self) -> str:
        """The range of pixel values, in words."""
        return f'pixels from {self.lower:g} to {self.upper:g}'

    def is_real(self, name: str) -> bool:
        """Whether `name`, a choice of --dataset, is the published images rather than a stand-in."""
        return name == self.names[0]

    def load_training(
        self, validation_size: int, *, dataset: str | None = None, data_dir: str | None = None
    ) -> tuple[Examples, Examples]:
        """Training images, and `validation_size` images held out from them.

        Raises:
            UserError: the data are not available, or are not the published ones.
        """
        examples = self.load('train', dataset=dataset or self.names[0], data_dir=data_dir)
        if self.holds_out_last:
            kept = max(len(examples) - validation_size, 0)
            return examples.subset(slice(kept)), examples.subset(slice(kept, None))
        return (
            examples.subset(slice(validation_size, None)),
            examples.subset(slice(validation_size)),
        )

    def ball(self, epsilon: float | None = None) -> Ball:
        """The threat model; by default with the challenge's radius (in pixel units)."""
        radius = self.epsilon if epsilon is None else epsilon
        return self.kind_of_ball(radius, self.lower, self.upper)

    def pgd(
        self,
        epsilon: float | None = None,
        steps: int | None = None,
        step_size: float | None = None,
        loss: Loss = CrossEntropy(),
        random_start: bool = True,
    ) -> PGD:
        """The challenge's PGD (`LinfPGDAttack`), within this data set's ball and pixel range.

        Args:
            epsilon: radius in pixel units; by default the challenge's, as for the next two.
            steps: gradient steps.
            step_size: length of a step in pixel units.
            loss: what it maximizes.
            random_start: start from a random point of the ball, not from the image.
        """
        return PGD(
            self.ball(epsilon),
            self.steps if steps is None else steps,
            self.step_size if step_size is None else step_size,
            loss,
            random_start,
        )
