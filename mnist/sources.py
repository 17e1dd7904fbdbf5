"""The released networks: what each is, and the commands that train it."""

from common.sources import Source

SOURCES = {
    'A': Source('adversarially trained, PGD', (('--recipe=fast',),)),
    'A_prime': Source('the same with another seed', (('--recipe=fast', '--seed=7311060'),)),
    'A_best': Source('network A trained on, for the greatest worst-case accuracy', (
        ('--recipe=strong',), ('--recipe=stronger',))),
    'A_nat': Source('naturally trained', (('--recipe=fast', '--adversary=none'),)),
    'B': Source('architecture B, naturally trained', (
        ('--recipe=fast', '--network=B', '--adversary=none'),)),
}
