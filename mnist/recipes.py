"""Named sets of training flags. Flags given on the command line override them one by one."""

CHALLENGE = {}
"""mnist_challenge/config.json: the flags' own defaults."""

FAST = {
    'init': 'glorot',
    'steps': 20,
    'step_size': 0.025,
    'train_steps': 7000,
    'batch_size': 128,
    'learning_rate': 1e-3,
    'schedule': 'cosine',
    'epsilon_warmup': 1000,
    'weight_averaging': 0.999,
    'attack_dtype': 'bfloat16',
    'validate_every': 500,
}
"""For CPUs: about 16 epochs with half the PGD steps, 40 to 60 minutes on two cores."""

RECIPES = {'challenge': CHALLENGE, 'fast': FAST}
