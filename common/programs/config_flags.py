"""The flags of a training run: one for each field of its config."""

import dataclasses
import typing
from collections.abc import Collection, Mapping

from absl import flags

from common.programs.help_text import about
from common.training.config import TrainingConfig
from common.training.setting import Subject


def define_config(
    config: TrainingConfig, *, only: Collection[str] | None = None, **words: str
) -> None:
    """Defines a flag for each field, unless the program already has a flag of that name.

    Args:
        config: the defaults; for a data set, its challenge's settings.
        only: names of the fields to define; None for all.
        **words: field name -> help text for this data set, instead of the field's own.
    """
    for field in dataclasses.fields(config):
        if field.name not in flags.FLAGS and (only is None or field.name in only):
            _define(field, getattr(config, field.name), words.get(field.name))


def define_settings(
    *names: str, words: Mapping[str, str] | None = None, **defaults: typing.Any
) -> None:
    """Defines flags that have the same meaning in other programs as in training.

    Args:
        *names: flags with the default of a training run.
        words: name -> help text for this data set, instead of the field's own.
        **defaults: flags with another default -> that default.
    """
    for field in dataclasses.fields(TrainingConfig):
        if field.name in {*names, *defaults}:
            default = defaults.get(field.name, field.default)
            _define(field, default, (words or {}).get(field.name))


def require_finite(name: str) -> None:
    """Makes a flag refuse infinity and NaN."""
    flags.register_validator(
        name,
        lambda value: value is None or abs(value) < float('inf'),
        message='expected a finite number',
    )


@about(Subject.TASK)
def define_recipes(recipes: Mapping[str, TrainingConfig]) -> None:
    """Defines --recipe.

    Args:
        recipes: name -> settings; the first recipe is the default.
    """
    flags.DEFINE_enum(
        'recipe',
        next(iter(recipes)),
        list(recipes),
        'A named set of values for the flags below; flags on the command line override them.',
    )


def chosen_config(recipes: Mapping[str, TrainingConfig]) -> TrainingConfig:
    """The settings of --recipe, overridden by the flags on the command line."""
    recipe = recipes[flags.FLAGS.recipe]
    given = {
        field.name: flags.FLAGS[field.name].value
        for field in dataclasses.fields(recipe)
        if flags.FLAGS[field.name].present
    }
    return dataclasses.replace(recipe, **given).settled(given)


def _define(field: dataclasses.Field, default: typing.Any, words: str | None) -> None:
    with about(field.metadata['subject']):
        _define_field(field, default, words or field.metadata['words'])


def _define_field(field: dataclasses.Field, default: typing.Any, words: str) -> None:
    name, limits = field.name, field.metadata
    define = {
        bool: flags.DEFINE_boolean,
        int: flags.DEFINE_integer,
        float: flags.DEFINE_float,
        str: flags.DEFINE_string,
    }
    kind = next(iter(typing.get_args(field.type)), field.type)  # float for `float | None`
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
    syntactic_help = 'whole numbers separated by commas, such as 2,3'

    def parse(self, argument: str | tuple[int, ...]) -> tuple[int, ...]:
        """Parses text such as `2,3`; a default, which is a tuple already, is returned as it is."""
        if isinstance(argument, tuple):
            return argument
        try:
            return tuple(int(number) for number in argument.split(',')) if argument else ()
        except ValueError:
            raise ValueError(f'expected {self.syntactic_help}') from None

    def flag_type(self) -> str:
        """The name of this type in --helpxml."""
        return self.syntactic_help
