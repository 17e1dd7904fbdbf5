"""Attacks: each a frozen dataclass that maps natural images to adversarial ones.

An attack is made of a ball (`common.threat_model`), a loss (`common.losses`) and numbers, and works
on any function from pixels to logits. `CompiledAttack` compiles one for one network; `by_name` has
those of the command line.
"""

from common.attacks.apgd import APGD
from common.attacks.ascent import Adam, Ascent, Momentum
from common.attacks.base import Attack
from common.attacks.chained import Chained
from common.attacks.compiled import CompiledAttack
from common.attacks.fab import FAB
from common.attacks.multi_targeted import MultiTargeted
from common.attacks.odi import ODI
from common.attacks.pgd import PGD, fgsm
from common.attacks.restarts import Restarts
from common.attacks.square import Square
from common.attacks.targeted import RandomTarget, TargetedEach

__all__ = [
    'APGD',
    'Adam',
    'Ascent',
    'Attack',
    'Chained',
    'CompiledAttack',
    'FAB',
    'Momentum',
    'MultiTargeted',
    'ODI',
    'PGD',
    'RandomTarget',
    'Restarts',
    'Square',
    'TargetedEach',
    'fgsm',
]
