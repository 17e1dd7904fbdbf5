"""Networks by name, folder, file and prefix; what they stand for; refusals."""

import dataclasses
import json

import keras
import numpy as np
import pytest
import tensorflow as tf

import cifar10.model
import mnist.model
from common.errors import UserError
from common.files import sha256
from common.networks import checkpoints
from common.networks.registry import Networks, Origin
from common.networks.weights import save_weights

SMALL, WIDE = {'units': 3}, {'units': 5}


def build(config):
    """A linear network after dropout, so that there is random state too."""
    return keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dropout(0.5, seed=1),
            keras.layers.Dense(config['units'], name='fc'),
        ],
        name=f'net{config["units"]}',
    )


def network(config, value):
    model = build(config)
    for variable in model.trainable_variables:
        variable.assign(tf.fill(variable.shape, float(value)))
    return model


def kernel(model):
    return np.unique(model.trainable_variables[0].numpy()).tolist()


@pytest.fixture
def networks(tmp_path):
    """The networks of a data set whose released one, 'N', has the width 5 and all weights 7."""
    folder = tmp_path / 'checkpoints'
    file = folder / 'toy' / 'N.weights.h5'
    save_weights(network(WIDE, 7), file)
    entry = {'file': 'toy/N.weights.h5', 'sha256': sha256(file), 'config': WIDE}
    (folder / 'manifest.json').write_text(json.dumps({'toy': {'N': entry}, 'other': {'M': entry}}))

    def import_tf1(model, prefix):
        model.set_weights([np.full_like(w, 9) for w in model.get_weights()])

    return Networks('toy', build, [SMALL, WIDE], import_tf1, released=folder)


@pytest.fixture
def released_file(networks):
    return networks.released / 'toy' / 'N.weights.h5'


def refusal(networks, reference):
    with pytest.raises(UserError) as caught:
        networks.load(str(reference))
    message = str(caught.value)
    assert '\n' not in message
    return message


def test_by_released_name(networks):
    model = networks.load('N')
    assert model.name == 'net5' and kernel(model) == [7]


def test_a_released_name_goes_before_a_folder_of_that_name(networks, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'N').mkdir()
    assert kernel(networks.load('N')) == [7]
    assert networks.folder('N') is None
    assert networks.folder('checkpoints') is not None
    assert networks.folder('nothing') is None


def test_the_home_folder_may_be_written_as_a_tilde(networks, tmp_path, monkeypatch):
    monkeypatch.setenv('HOME', str(tmp_path))
    save_weights(network(SMALL, 3), tmp_path / 'run' / 'last.weights.h5')
    for reference in ('~/run', '~/run/last.weights.h5'):
        assert kernel(networks.load(reference)) == [3]
    assert networks.folder('~/run') == tmp_path / 'run'


def test_the_manifest_has_the_entries_of_this_data_set(networks):
    assert list(networks.manifest()) == ['N']
    assert dataclasses.replace(networks, data_set='nothing').manifest() == {}


ORIGINS = {
    'First': Origin('one', (('--fast',),)),
    'Longer': Origin('the first, trained on', (('--fast',), ('--slow',)), stands_for='First'),
    'Strong': Origin('another', (('--slow',),)),
}


def test_the_default_is_the_first_released_network(networks):
    assert networks.default is None
    assert dataclasses.replace(networks, origins=ORIGINS).default == 'First'


@pytest.mark.parametrize(
    'reference, expected',
    [
        ('First', 'First'),
        ('Longer', 'First'),
        ('Strong', 'Strong'),
        ('models/mine', 'First'),  # a user's own
    ],
)
def test_the_papers_network_that_one_is_compared_with(networks, reference, expected):
    assert dataclasses.replace(networks, origins=ORIGINS).stands_for(reference) == expected
    assert networks.stands_for(reference) == reference


def test_commands_of_one_stage_and_of_two():
    assert ORIGINS['First'].commands('toy') == ['python -m toy.train --fast']
    assert ORIGINS['Longer'].commands('toy') == [
        'python -m toy.train --fast --model_dir=models/stage1',
        'python -m toy.train --slow --init_from=models/stage1 --model_dir=models/stage2',
    ]


@pytest.mark.parametrize(
    'data_set, reference, expected',
    [
        (mnist.model, 'A_nat', 'A_nat'),
        (mnist.model, 'models/mine', 'A'),
        # Trained for the greatest worst-case accuracy, which the paper does not do.
        (mnist.model, 'A_best', 'A_best'),
        # The paper's network, trained longer than A.
        (cifar10.model, 'A_best', 'A'),
        (cifar10.model, 'A_prime', 'A_prime'),
        (cifar10.model, 'models/mine', 'A'),
    ],
)
def test_what_the_released_networks_stand_for(data_set, reference, expected):
    assert data_set.NETWORKS.stands_for(reference) == expected
    assert data_set.NETWORKS.default == 'A'


@pytest.mark.parametrize('networks', [mnist.model.NETWORKS, cifar10.model.NETWORKS])
def test_every_released_network_has_an_origin_that_says_what_it_is_for(networks):
    assert set(networks.origins) == set(networks.manifest())
    assert all(origin.purpose.endswith('.') for origin in networks.origins.values())


def test_names_of_another_data_set_are_unknown(networks):
    assert "there is no network 'M'" in refusal(networks, 'M')


@pytest.mark.parametrize('reference', ['nothing', 'no/such/checkpoint-300', '', 'x' * 300])
def test_what_is_not_there(networks, reference):
    message = refusal(networks, reference)
    assert f'there is no network {reference!r}' in message
    assert 'a released name (N)' in message and 'prefix of a checkpoint' in message


def test_nothing_released_yet(networks, tmp_path):
    bare = Networks('toy', build, [SMALL], networks.import_tf1, released=tmp_path / 'nowhere')
    assert 'a released name (none yet)' in refusal(bare, 'N')


def test_a_damaged_manifest(networks):
    (networks.released / 'manifest.json').write_text('{"toy":')
    assert 'manifest.json is not JSON' in refusal(networks, 'N')


@pytest.mark.parametrize(
    'contents',
    ['[]', 'null', '{"toy": null}', '{"toy": {"N": {}}}', '{"toy": {"N": {"file": "x"}}}'],
)
def test_a_manifest_of_another_form(networks, contents):
    (networks.released / 'manifest.json').write_text(contents)
    assert 'manifest.json does not describe networks' in refusal(networks, 'N')


def test_a_manifest_that_describes_no_network(networks):
    path = networks.released / 'manifest.json'
    contents = json.loads(path.read_text())
    contents['toy']['N']['config'] = {}
    path.write_text(json.dumps(contents))
    assert 'manifest.json describes no network' in refusal(networks, 'N')


@pytest.mark.parametrize('damage', ['truncated', 'one bit', 'exchanged'])
def test_a_wrong_digest_is_refused_naming_both(networks, released_file, damage):
    expected = sha256(released_file)
    contents = bytearray(released_file.read_bytes())
    if damage == 'truncated':
        released_file.write_bytes(contents[:-100])
    elif damage == 'one bit':
        contents[len(contents) // 2] ^= 1
        released_file.write_bytes(contents)
    else:  # complete and readable, but not what was released
        save_weights(network(WIDE, 8), released_file)
    message = refusal(networks, 'N')
    assert f'expected SHA-256 {expected}, found {sha256(released_file)}' in message
    assert str(released_file) in message and 'Restore the file' in message


def test_a_released_file_that_is_missing(networks, released_file):
    released_file.unlink()
    message = refusal(networks, 'N')
    assert f'{released_file} are missing' in message and 'Restore the file' in message


def test_a_file_without_config_is_tried_with_each(networks, tmp_path):
    for config, value in ((SMALL, 1), (WIDE, 2)):
        path = tmp_path / f'{value}.weights.h5'
        save_weights(network(config, value), path)
        assert kernel(networks.load(str(path))) == [value]


def test_a_file_of_a_model_folder_has_its_config(networks, tmp_path):
    save_weights(network({'units': 11}, 3), tmp_path / 'run' / 'best.weights.h5')
    assert 'belongs to another network' in refusal(networks, tmp_path / 'run' / 'best.weights.h5')
    (tmp_path / 'run' / 'config.json').write_text('{"units": 11}')
    assert kernel(networks.load(str(tmp_path / 'run' / 'best.weights.h5'))) == [3]


@pytest.mark.parametrize('share', [0, 0.5, 0.95])
def test_a_damaged_file_is_named_with_its_digest(networks, released_file, tmp_path, share):
    contents = released_file.read_bytes()
    path = tmp_path / 'damaged.weights.h5'
    path.write_bytes(contents[: int(share * len(contents))])
    message = refusal(networks, path)
    assert str(path) in message and sha256(path) in message and 'damaged' in message


def test_a_file_of_another_kind(networks, tmp_path):
    (tmp_path / 'notes.txt').write_text('hello')
    assert 'notes.txt' in refusal(networks, tmp_path / 'notes.txt')


def test_weights_of_a_network_with_more_layers(networks, tmp_path):
    # Keras would skip the last layer, and another network would be evaluated.
    longer = keras.Sequential([keras.Input((4,)), *network(SMALL, 1).layers, keras.layers.Dense(2)])
    save_weights(longer, tmp_path / 'longer.weights.h5')
    message = refusal(networks, tmp_path / 'longer.weights.h5')
    assert 'arrays' in message and 'belongs to another network' in message


def test_weights_of_a_network_with_random_layers(networks, tmp_path):
    noisy = keras.Sequential(
        [keras.Input((4,)), *network(SMALL, 1).layers, keras.layers.Dropout(0.5, seed=1)]
    )
    save_weights(noisy, tmp_path / 'noisy.weights.h5')
    assert kernel(networks.load(str(tmp_path / 'noisy.weights.h5'))) == [1]


@pytest.mark.parametrize('name', ['whole.keras', 'whole.h5'])
def test_whole_models_are_refused(networks, tmp_path, name):
    network(SMALL, 1).save(tmp_path / name)
    message = refusal(networks, tmp_path / name)
    assert 'expected a weights file (*.weights.h5)' in message and 'common.evaluate' in message


def test_a_folder_prefers_the_last_weights(networks, tmp_path):
    save_weights(network(SMALL, 1), tmp_path / 'best.weights.h5')
    assert kernel(networks.load(str(tmp_path))) == [1]
    save_weights(network(SMALL, 2), tmp_path / 'last.weights.h5')
    assert kernel(networks.load(str(tmp_path))) == [2]


def test_an_empty_folder(networks, tmp_path):
    (tmp_path / 'empty').mkdir()
    message = refusal(networks, tmp_path / 'empty')
    assert 'found none of them' in message and 'last.weights.h5' in message


def training_checkpoint(folder, config, value, average=None, step=300):
    """A checkpoint with the parts of those of common.training; returns its prefix."""
    model = network(config, value)
    optimizer = keras.optimizers.Adam()
    optimizer.build(model.trainable_variables)
    kept = (
        []
        if average is None
        else [tf.Variable(tf.fill(v.shape, float(average))) for v in model.trainable_variables]
    )
    checkpoint = tf.train.Checkpoint(
        model=model,
        fixed=list(model.non_trainable_variables),
        optimizer=optimizer,
        average=kept,
        step=tf.Variable(step, dtype=tf.int64),
        best=tf.Variable(0.5),
    )
    manager = tf.train.CheckpointManager(
        checkpoint, str(folder), max_to_keep=3, checkpoint_name='checkpoint'
    )
    return manager.save(checkpoint_number=step)


def test_a_training_checkpoint(networks, tmp_path):
    prefix = training_checkpoint(tmp_path, SMALL, 4)
    assert kernel(networks.load(prefix)) == [4]
    assert kernel(networks.load(str(tmp_path))) == [4]


def test_a_training_checkpoint_with_averaged_weights(networks, tmp_path):
    prefix = training_checkpoint(tmp_path, WIDE, 4, average=6)
    (tmp_path / 'config.json').write_text(json.dumps(WIDE))
    assert kernel(networks.load(prefix)) == [6]


def test_the_file_checkpoint_goes_before_the_largest_step(networks, tmp_path, capsys):
    for step, value in ((900, 3), (24_900, 4)):
        training_checkpoint(tmp_path, SMALL, value, step=step)
    (tmp_path / 'checkpoint').write_text('model_checkpoint_path: "/there/checkpoint-900"\n')
    assert kernel(networks.load(str(tmp_path))) == [3]
    assert f'{tmp_path}: loading checkpoint-900\n' in capsys.readouterr().err
    (tmp_path / 'checkpoint').write_text('model_checkpoint_path: "/there/checkpoint-30"\n')
    assert 'expected the checkpoint checkpoint-30' in refusal(networks, tmp_path)


def test_without_that_file_the_largest_step_counts(networks, tmp_path):
    for step, value in ((900, 1), (10_000, 2), (8000, 3)):
        training_checkpoint(tmp_path, SMALL, value, step=step)
    (tmp_path / 'checkpoint').unlink()
    assert kernel(networks.load(str(tmp_path))) == [2]


def test_a_training_checkpoint_without_config_is_tried_with_every_known_width(networks, tmp_path):
    found = networks.load(training_checkpoint(tmp_path, WIDE, 4))
    assert (found.name, kernel(found)) == (f'net{WIDE["units"]}', [4])


def test_a_training_checkpoint_of_other_widths(networks, tmp_path):
    prefix = training_checkpoint(tmp_path, {'units': 11}, 4)
    assert f'the checkpoint {prefix} is damaged or belongs to another' in refusal(networks, prefix)


@pytest.mark.parametrize('suffix', ['.index', '.data-00000-of-00001'])
@pytest.mark.parametrize('share', [None, 0, 0.1, 0.5, 0.9])
def test_a_damaged_training_checkpoint_is_named(networks, tmp_path, suffix, share):
    prefix = training_checkpoint(tmp_path, SMALL, 4)
    assert checkpoints.is_whole(prefix)
    path = tmp_path / f'checkpoint-300{suffix}'
    contents = path.read_bytes()
    path.unlink()
    if share is not None:
        path.write_bytes(contents[: int(share * len(contents))])
    assert prefix in refusal(networks, prefix)
    assert not checkpoints.is_whole(prefix)


def tf1_checkpoint(folder):
    prefix = str(folder / 'checkpoint-24900')
    tf.raw_ops.SaveV2(
        prefix=prefix, tensor_names=['Variable'], shape_and_slices=[''], tensors=[tf.zeros(3)]
    )
    return prefix


def test_a_tf1_checkpoint_goes_to_the_importer(networks, tmp_path):
    prefix = tf1_checkpoint(tmp_path)
    for reference in (prefix, str(tmp_path)):
        model = networks.load(reference)
        assert model.name == 'net3' and kernel(model) == [9]


def test_a_tf1_checkpoint_beside_the_challenges_own_config(networks, tmp_path):
    # The challenge copies its config.json there, which says nothing about widths.
    prefix = tf1_checkpoint(tmp_path)
    (tmp_path / 'config.json').write_text('{"model_dir": "models/a", "random_seed": 4557077}')
    assert kernel(networks.load(prefix)) == [9]


def test_the_challenges_own_config_leaves_all_widths_open(networks, tmp_path):
    prefix = tf1_checkpoint(tmp_path)
    (tmp_path / 'config.json').write_text('{"model_dir": "models/a"}')

    def import_wide(model, _):
        if model.name != 'net5':
            raise UserError('other shapes')
        model.set_weights([np.full_like(w, 9) for w in model.get_weights()])

    wide_only = dataclasses.replace(networks, import_tf1=import_wide)
    assert wide_only.load(prefix).name == 'net5'


@pytest.mark.parametrize('contents', ['{"network": "A", "units": "x"}', '{"units": -1}'])
def test_a_config_that_describes_no_network(networks, tmp_path, contents):
    save_weights(network(SMALL, 1), tmp_path / 'last.weights.h5')
    (tmp_path / 'config.json').write_text(contents)
    assert f'{tmp_path / "config.json"} describes no network' in refusal(networks, tmp_path)


@pytest.mark.parametrize('contents', ['{"units": ', '[3]', 'null', '3'])
def test_a_damaged_config(networks, tmp_path, contents):
    save_weights(network(SMALL, 1), tmp_path / 'last.weights.h5')
    (tmp_path / 'config.json').write_text(contents)
    message = refusal(networks, tmp_path)
    assert f'{tmp_path / "config.json"} is no JSON object' in message
