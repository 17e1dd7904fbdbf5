"""The flags of a training: one for each field of its config."""

import dataclasses
import typing
from collections.abc import Collection, Mapping

from absl import flags

from common.training.config import TrainingConfig


def define_config(
    config: TrainingConfig, *, only: Collection[str] | None = None, **words: str
) -> None:
    """A flag for each field, unless the program has defined one of that name already.

    Args:
        config: the defaults, a data set's challenge.
        only: names of fields; None for all.
        **words: name of a field -> its help text for this data set.
    """
    for field in dataclasses.fields(config):
        if field.name not in flags.FLAGS and (only is None or field.name in only):
            help_text = words.get(field.name, field.metadata['words'])
            _define(field, getattr(config, field.name), help_text)


def define_settings(*names: str, **defaults: typing.Any) -> None:
    """Flags that mean the same in other programs as in a training.

    Args:
        *names: those with a training's default.
        **defaults: name -> another default.
    """
    for field in dataclasses.fields(TrainingConfig):
        if field.name in {*names, *defaults}:
            _define(field, defaults.get(field.name, field.default), field.metadata['words'])


def require_finite(name: str) -> None:
    """Refuses infinity and NaN as the value of a flag."""
    flags.register_validator(
        name,
        lambda value: value is None or abs(value) < float('inf'),
        message='expected a finite number',
    )


def define_recipes(recipes: Mapping[str, TrainingConfig]) -> None:
    """--recipe.

    Args:
        recipes: by name; the first one is the default.
    """
    flags.DEFINE_enum(
        'recipe',
        next(iter(recipes)),
        list(recipes),
        'A named set of flags. Flags given here override it.',
    )


def chosen_config(recipes: Mapping[str, TrainingConfig]) -> TrainingConfig:
    """The recipe that --recipe names, with every flag that was given on the command line."""
    recipe = recipes[flags.FLAGS.recipe]
    given = {
        field.name: flags.FLAGS[field.name].value
        for field in dataclasses.fields(recipe)
        if flags.FLAGS[field.name].present
    }
    return dataclasses.replace(recipe, **given).settled(given)


def _define(field: dataclasses.Field, default: typing.Any, words: str) -> None:
    name, limits = field.name, field.metadata
    define = {
        bool: flags.DEFINE_boolean,
        int: flags.DEFINE_integer,
        float: flags.DEFINE_float,
        str: flags.DEFINE_string,
    }
    kind = next(iter(typing.get_args(field.type)), field.type)  # of `float | None`, float
    if typing.get_origin(field.type) is tuple:
        serializer = flags.ListSerializer(',')
        flags.DEFINE(_WholeNumbers(), name, default, words, serializer=serializer)
    elif limits['choices']:
        flags.DEFINE_enum(name, default, limits['choices'], words)
    elif kind in (int, float):
        bounds = {'lower_bound': limits['least'], 'upper_bound': limits['most']}
        define[kind](name, default, words, **bounds)
    else:
        define[kind](name, default, words)
    if limits['below'] is not None:
        flags.register_validator(
            name,
            lambda value: limits['least'] <= value < limits['below'],
            message=f'expected a number from {limits["least"]:g} to below {limits["below"]:g}',
        )
    elif kind is float:
        require_finite(name)


class _WholeNumbers(flags.ArgumentParser):
    syntactic_help = 'whole numbers separated by commas'

    def parse(self, argument: str | tuple[int, ...]) -> tuple[int, ...]:
        """The numbers of `2,3`, or those that a default already is."""
        if isinstance(argument, tuple):
            return argument
        try:
            return tuple(int(number) for number in argument.split(',')) if argument else ()
        except ValueError:
            raise ValueError(f'expected {self.syntactic_help}') from None

    def flag_type(self) -> str:
        """What --helpxml calls it."""
        return self.syntactic_help
