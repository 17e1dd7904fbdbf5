"""The checker: what it reads and refuses, its limits, what it predicts and prints."""

import io
import os
import pickle
import re
import struct

import keras
import numpy as np
import pytest
import tensorflow as tf

from common.data.batches import Examples
from common.errors import UserError
from common.networks.logits import ModelLogits
from common.submission import checker
from common.threat_model import LinfBall

SHAPE = (6, 4)
UNIT_BALL = LinfBall(0.3)
BYTE_BALL = LinfBall(8, 0, 255)


@pytest.fixture
def path(tmp_path):
    return tmp_path / 'attack.npy'


def load(path, shape=SHAPE):
    return checker.read(checker.open_submission(path), shape)


def refusal(call, *args, **kwargs):
    """The message of the UserError that the call raises; it must be a single line."""
    with pytest.raises(UserError) as caught:
        call(*args, **kwargs)
    message = str(caught.value)
    assert '\n' not in message
    return message


def npy_with_header(header, version=(1, 0), body=b''):
    header = header.encode() + b'\n'
    length = struct.pack('<H' if version == (1, 0) else '<I', len(header))
    return b'\x93NUMPY' + bytes(version) + length + header + body


def header_of(shape, descr="'<f4'"):
    return f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}}}"


@pytest.mark.parametrize(
    'dtype',
    [
        '<f2',
        '<f4',
        '<f8',
        'g',
        '>f2',
        '>f4',
        '>f8',
        'i1',
        'u1',
        '<i2',
        '>i2',
        '<u2',
        '>u4',
        '<i8',
        '>i8',
        '<u8',
        '>u8',
    ],
)
@pytest.mark.parametrize('order', ['C', 'F'])
def test_reads_every_real_dtype_byte_order_and_memory_order(path, dtype, order):
    values = np.arange(24).reshape(SHAPE)
    np.save(path, values.astype(dtype, order=order))
    x = load(path)
    np.testing.assert_array_equal(x, values)
    assert x.dtype == np.float64 and x.dtype.isnative
    assert x.flags.c_contiguous and x.flags.writeable


@pytest.mark.parametrize('version', [(1, 0), (2, 0), (3, 0)])
def test_reads_every_format_version(path, version):
    values = np.arange(24, dtype=np.float32).reshape(SHAPE)
    with open(path, 'wb') as file:
        np.lib.format.write_array(file, values, version=version)
    np.testing.assert_array_equal(load(path), values)


def test_the_file_name_needs_no_suffix(tmp_path):
    with open(tmp_path / 'attack', 'wb') as file:
        np.save(file, np.ones(SHAPE))
    np.testing.assert_array_equal(load(tmp_path / 'attack'), np.ones(SHAPE))


@pytest.mark.parametrize('found', [(5, 4), (7, 4), (6, 5), (4,), (), (0, 4), (1, 6, 4)])
def test_refuses_other_shapes(path, found):
    np.save(path, np.zeros(found))
    message = refusal(load, path)
    assert 'expected an array of shape (6, 4)' in message and f'found {found}' in message


@pytest.mark.parametrize('found', [(4, 6), (24,), (6, 2, 2)])
def test_says_how_to_fix_a_shape_of_the_right_size(path, found):
    np.save(path, np.zeros(found))
    assert 'save x.reshape(6, 4)' in refusal(load, path)


def test_says_how_to_fix_channels_that_come_first(path):
    np.save(path, np.zeros((6, 3, 4, 5)))
    assert 'save x.transpose(0, 2, 3, 1)' in refusal(load, path, (6, 4, 5, 3))
    # A reshape would scramble the pixels here, but is right where there is one channel.
    assert 'save x.reshape(6, 60)' in refusal(load, path, (6, 60))


@pytest.mark.parametrize(
    'values, name',
    [
        (np.zeros(SHAPE, bool), 'bool'),
        (np.zeros(SHAPE, np.complex64), 'complex64'),
        (np.full(SHAPE, '0.5'), '<U3'),
        (np.full(SHAPE, b'0.5'), '|S3'),
        (np.zeros(SHAPE, 'datetime64[s]'), 'datetime64'),
        (np.zeros(SHAPE, [('red', 'f4')]), 'red'),
        (np.zeros(SHAPE, 'V2'), 'V2'),  # what np.save makes of bfloat16
    ],
)
def test_refuses_other_dtypes(path, values, name):
    np.save(path, values)
    message = refusal(load, path)
    assert 'expected real numbers' in message and name in message and 'np.float32' in message


class _Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_refuses_objects_without_unpickling_them(path, tmp_path):
    np.save(path, np.array([_Bomb(tmp_path / 'exploded')]), allow_pickle=True)
    assert 'Python objects' in refusal(load, path)
    assert not (tmp_path / 'exploded').exists()


def test_refuses_a_missing_file(path):
    message = refusal(load, path)
    assert str(path) in message and 'No such file' in message and 'check its name' in message


def test_refuses_a_folder_and_a_pipe(path, tmp_path):
    assert 'it is a folder' in refusal(load, tmp_path)
    os.mkfifo(path)
    assert 'a pipe' in refusal(load, path)


def test_refuses_a_file_that_may_not_be_read(path, monkeypatch):
    np.save(path, np.ones(SHAPE))

    def denied(*_, **__):
        raise PermissionError(13, 'Permission denied')

    monkeypatch.setattr(checker.npy, 'open_memmap', denied)
    assert 'Permission denied. Expected the .npy file of a submission' in refusal(load, path)


def test_refuses_a_file_name_that_is_too_long():
    assert 'name too long' in refusal(load, 'x' * 5000)


def _npz_bytes():
    stream = io.BytesIO()
    np.savez(stream, x=np.zeros(SHAPE))
    return stream.getvalue()


_WHOLE = npy_with_header(header_of(SHAPE), body=np.ones(SHAPE, '<f4').tobytes())
_DAMAGED = {
    'empty file': b'',
    'npz': _npz_bytes(),
    'text': b'0.1 0.2 0.3\n',
    'pickle': pickle.dumps([1, 2, 3]),
    'half a magic': b'\x93NUMP',
    'magic alone': b'\x93NUMPY',
    'header missing': b'\x93NUMPY\x01\x00v\x00',
    'unknown version': b'\x93NUMPY\x09\x00' + bytes(100),
    'length of 4 GB': b'\x93NUMPY\x02\x00\xff\xff\xff\xff' + bytes(20_000),
    'length of 60 kB': npy_with_header(header_of(SHAPE).ljust(60_000)),
    'parentheses': npy_with_header('(' * 5000),
    'deep expression': npy_with_header('-' * 9000 + '1'),
    'open string': npy_with_header('["""'),
    'no dictionary': npy_with_header('no dictionary'),
    'no ASCII': npy_with_header('\xff'),
    'missing keys': npy_with_header("{'descr': '<f4'}"),
    'float in the shape': npy_with_header(header_of('(6, 4.0)')),
    'negative shape': npy_with_header(header_of('(-6, -4)'), body=bytes(96)),
    'negative empty shape': npy_with_header(header_of('(-1, 0)')),
    'truth in the shape': npy_with_header(header_of('(True, 4)'), body=bytes(96)),
    'larger than the file': npy_with_header(header_of((10**12, 10**6))),
    'larger than 64 bits': npy_with_header(header_of((2**62, 4)), body=bytes(96)),
    'of size 0 in 64 bits': npy_with_header(header_of((2**32, 2**32)), body=bytes(96)),
    'number too long to print': npy_with_header(header_of(f'(0x{"f" * 5000}, 4)')),
    'unknown dtype': npy_with_header(header_of(SHAPE, "'nonsense'")),
    'malformed dtype': npy_with_header(header_of(SHAPE, '(1, 2, 3)')),
    'objects in a record': npy_with_header(header_of(SHAPE, "[('a', 'O')]"), body=bytes(999)),
    'no numbers': _WHOLE[: -SHAPE[0] * SHAPE[1] * 4],
    'a byte too few': _WHOLE[:-1],
}


@pytest.mark.parametrize('contents', _DAMAGED.values(), ids=_DAMAGED)
@pytest.mark.filterwarnings('error')
def test_refuses_a_damaged_or_hostile_file(path, contents):
    path.write_bytes(contents)
    message = refusal(load, path)
    assert 'expected a whole .npy file' in message and 'np.save' in message
    assert len(message) < 600 + len(str(path))
    # NumPy's own advice, which would run any code in the file.
    assert 'load it unsafely' not in message


@pytest.mark.parametrize(
    'name, words',
    {
        'empty file': 'an empty file',
        'npz': 'an .npz or other zip archive',
        'text': 'another format',
        'half a magic': 'one that is damaged or cut off',
        'objects in a record': 'an array of Python objects',
        'a byte too few': 'one that is damaged or cut off',
    }.items(),
)
def test_says_what_kind_of_file_it_found(path, name, words):
    path.write_bytes(_DAMAGED[name])
    assert f'found {words} (' in refusal(load, path)


def test_takes_a_file_with_more_behind_the_array(path):
    path.write_bytes(_WHOLE + b'more')
    np.testing.assert_array_equal(load(path), np.ones(SHAPE))


def natural(lower=0.2, upper=0.7):
    """[20, 3, 3, 1] float32 images between the bounds."""
    return np.random.default_rng(0).uniform(lower, upper, (20, 3, 3, 1)).astype(np.float32)


@pytest.mark.parametrize('dtype', [np.float32, np.float64, '>f4'])
def test_accepts_the_natural_images_and_the_edge_of_the_ball(dtype):
    x = natural()
    for x_adv in (x, np.clip(x + 0.3, 0, 1), np.clip(x - 0.3, 0, 1)):
        checker.validate(x_adv.astype(dtype), x, UNIT_BALL)


@pytest.mark.parametrize('value', [0, 1])
def test_accepts_integers_in_the_ball(value):
    x = np.full((2, 4), value, np.float32)
    checker.validate(np.full((2, 4), value, np.uint8), x, UNIT_BALL)


@pytest.mark.parametrize('ball', [UNIT_BALL, BYTE_BALL, LinfBall(0.1, -1, 1)])
@pytest.mark.parametrize('sign', [-1, 1])
def test_distance_has_the_challenges_tolerance(ball, sign):
    x = natural(ball.lower / 2 + ball.upper / 2, ball.lower / 2 + ball.upper / 2 + 0.01)
    far = x.astype(np.float64)
    checker.validate(far + sign * (ball.epsilon + 0.9e-4), x, ball)
    message = refusal(checker.validate, far + sign * (ball.epsilon + 1.2e-4), x, ball)
    assert '20 of 20 images' in message and 'farther than epsilon' in message
    assert 'The tolerance is 0.0001.' in message and 'pixel range' not in message


@pytest.mark.parametrize('ball', [UNIT_BALL, BYTE_BALL, LinfBall(0.1, -1, 1)])
@pytest.mark.parametrize('side', [-1, 1])
def test_pixel_range_has_the_challenges_tolerance(ball, side):
    bound = ball.lower if side < 0 else ball.upper
    x = np.full((3, 2, 2, 1), bound, np.float32)
    checker.validate(x + np.float64(side * 0.9e-4), x, ball)
    message = refusal(checker.validate, x + np.float64(side * 1.2e-4), x, ball)
    assert 'leave the pixel range' in message and 'by 0.00012' in message
    assert 'farther than' not in message


@pytest.mark.parametrize('ball', [UNIT_BALL, BYTE_BALL, LinfBall(0.1)])
@pytest.mark.parametrize('dtype', [np.float32, np.float64])
def test_exactly_at_a_limit_is_valid_in_either_precision(ball, dtype):
    middle = natural(0.3 * ball.upper, 0.5 * ball.upper)
    edge = (middle.astype(np.float64) + ball.epsilon + 1e-4).astype(dtype)
    checker.validate(edge, middle, ball)
    for bound, side in ((ball.lower, -1), (ball.upper, 1)):
        x = np.full((2, 4), bound, np.float32)
        checker.validate((x + np.float64(side * 1e-4)).astype(dtype), x, ball)


def test_names_the_offending_rows_and_the_worst():
    x = natural()
    x_adv = x.astype(np.float64)
    x_adv[[2, 3, 5, 7, 11, 13, 17], 1, 2, 0] += 0.4
    x_adv[11, 0, 0, 0] = x[11, 0, 0, 0] - 0.425
    message = refusal(checker.validate, x_adv, x, LinfBall(0.3, -1, 2))
    assert '7 of 20 images (rows 2, 3, 5, 7, 11, ...; counted from 0)' in message
    assert 'epsilon = 0.3' in message and 'the worst by 0.125 (row 11)' in message


def test_names_the_two_limits_apart():
    x = natural(0.9, 0.95)
    x_adv = x.astype(np.float64)
    x_adv[4, 0, 0, 0] = 1.125  # inside the ball, outside the range
    x_adv[6, 0, 0, 0] = x[6, 0, 0, 0] - 0.8  # inside the range, outside the ball
    message = refusal(checker.validate, x_adv, x, UNIT_BALL)
    assert '1 of 20 images (row 4; counted from 0) leave the pixel range [0, 1]' in message
    assert 'the worst by 0.125 (row 4)' in message
    assert '(row 6; counted from 0) are farther than epsilon = 0.3' in message
    assert 'the worst by 0.5 (row 6)' in message


@pytest.mark.parametrize('value', [np.nan, np.inf, -np.inf])
def test_refuses_what_is_not_finite(value):
    x = natural()
    x_adv = x.copy()
    x_adv[[3, 19], 2, 2, 0] = value
    message = refusal(checker.validate, x_adv, x, UNIT_BALL)
    assert '2 of 20 images (rows 3, 19; counted from 0) contain NaN or infinity' in message


def test_refuses_a_long_double_beyond_float64(path):
    if np.finfo(np.longdouble).max <= np.finfo(np.float64).max:
        pytest.skip('long double is float64 here')
    np.save(path, np.full(SHAPE, np.finfo(np.longdouble).max))
    x = np.zeros(SHAPE, np.float32)
    assert 'NaN or infinity' in refusal(checker.validate, load(path), x, UNIT_BALL)


@pytest.mark.parametrize('clean, adversarial', [(5, 250), (250, 5), (3, 253)])
@pytest.mark.parametrize('dtype', [np.uint8, np.float32])
def test_unsigned_bytes_do_not_wrap_around(clean, adversarial, dtype):
    # In uint8 3 - 253 would be 6, a hidden fault, and 5 - 8 would be 253, a false one.
    x = np.full((3, 2, 2, 3), clean, dtype)
    message = refusal(checker.validate, np.full(x.shape, adversarial, np.uint8), x, BYTE_BALL)
    assert f'the worst by {abs(adversarial - clean) - 8} (row 0)' in message
    for near in (clean - 3, clean + 3):
        checker.validate(np.full(x.shape, near, np.uint8), x, BYTE_BALL)


def test_validate_wants_equal_shapes():
    with pytest.raises(ValueError, match=r'natural images \(20, 3, 3, 1\); found \(20, 9\)'):
        checker.validate(np.zeros((20, 9)), natural(), UNIT_BALL)


def linear(weights):
    """A linear network on [n, 2, 2, 1] images; weights: [4, classes]."""
    layer = keras.layers.Dense(weights.shape[1], use_bias=False)
    model = keras.Sequential([keras.Input((2, 2, 1)), keras.layers.Flatten(), layer])
    layer.set_weights([weights.astype(np.float32)])
    return ModelLogits(model)


@pytest.mark.parametrize('batch_size', [1, 3, 7, 100])
@pytest.mark.parametrize('dtype', [np.float32, np.float64])
def test_predicts_every_image_whatever_the_batches(batch_size, dtype):
    x = np.random.default_rng(0).random((7, 2, 2, 1)).astype(dtype)
    # Logits are the pixels, so the class is the brightest pixel.
    predictions = checker.predict(linear(np.eye(4)), x, batch_size)
    np.testing.assert_array_equal(predictions, x.reshape(7, 4).argmax(axis=1))
    assert predictions.dtype == np.int64 and predictions.shape == (7,)


def test_predicts_without_clipping():
    x = np.full((1, 2, 2, 1), 1.00005)
    x[0, 1, 1, 0] = 1.00009
    np.testing.assert_array_equal(checker.predict(linear(np.eye(4)), x, 1), [3])


@pytest.mark.parametrize('value', [np.nan, np.inf])
def test_refuses_predictions_from_logits_that_are_not_finite(value):
    def logits_fn(x):
        return tf.reduce_sum(x, axis=[1, 2, 3])[:, None] * tf.constant([[1.0, value]])

    message = refusal(checker.predict, logits_fn, np.ones((5, 2, 2, 1)), 2)
    assert 'expected finite logits' in message and 'damaged' in message


@pytest.fixture
def four_pixels():
    """30 images [2, 2, 1] of black pixels but one, whose place is the class."""
    y = np.random.default_rng(0).integers(4, size=30).astype(np.int32)
    return Examples(0.5 * np.eye(4, dtype=np.float32)[y].reshape(30, 2, 2, 1), y, 'four pixels')


@pytest.fixture
def score(path, four_pixels):
    """Scores the submission at `path` by the brightest pixel; lists what was asked for in `asked`.

    Images in the file are flat: [4].
    """

    def score(
        *,
        submission=path,
        predictions=path.with_name('pred.npy'),
        test=four_pixels,
        image_shape=(4,),
        ball=UNIT_BALL,
        stand_in=True,
    ):
        def giving(name, value):
            def give():
                score.asked.append(name)
                return value

            return give

        score.asked = []
        return checker.score(
            submission,
            predictions,
            load_test=giving('data', test),
            stand_in=stand_in,
            image_shape=image_shape,
            make_ball=giving('ball', ball),
            load_network=giving('network', linear(np.eye(4))),
            batch_size=7,
        )

    return score


@pytest.fixture
def predictions(path):
    return path.with_name('pred.npy')


def with_wrong(examples, rows):
    """[n, 4] float32 images in the ball, and the classes of their brightest pixels."""
    x, classes = examples.x.reshape(len(examples), -1).copy(), examples.y.astype(np.int64)
    classes[rows] = (classes[rows] + 1) % 4
    x[rows] = 0.21 + 0.08 * np.eye(4, dtype=np.float32)[classes[rows]]
    return x, classes


@pytest.mark.parametrize(
    'convert',
    [lambda x: x, lambda x: x.astype(np.float64), lambda x: x.astype('>f4'), np.asfortranarray],
)
def test_score_prints_the_accuracy_and_writes_the_predictions(
    convert, score, path, predictions, four_pixels, capsys
):
    x, classes = with_wrong(four_pixels, [3, 4, 29])
    np.save(path, convert(x))
    assert score() == 27 / 30
    assert capsys.readouterr() == (
        'Data: four pixels, 30 images\nAccuracy: 90.00%\n95% interval 74.38% to 96.54%, n = 30\n'
        f'Predictions written to {predictions}\n',
        '',
    )
    np.testing.assert_array_equal(np.load(predictions), classes)
    assert np.load(predictions).dtype == np.int64
    assert score.asked == ['data', 'ball', 'network']


def test_score_names_the_data_only_where_they_are_a_stand_in(score, path, four_pixels, capsys):
    np.save(path, four_pixels.x.reshape(30, 4))
    assert score(stand_in=False) == 1
    assert capsys.readouterr().out.startswith('Accuracy: 100.00%\n')


@pytest.mark.parametrize('shape', [(2, 2, 1), (4,), (1, 4)])
def test_score_takes_images_of_the_shape_it_is_told(shape, score, path, four_pixels):
    np.save(path, four_pixels.x.reshape(30, *shape))
    assert score(image_shape=shape) == 1
    with pytest.raises(UserError, match=r'expected an array of shape \(30, 2, 2\)'):
        score(image_shape=(2, 2))


def test_score_takes_unsigned_bytes_as_they_are(score, path, four_pixels):
    # The class's pixel is 2, the others are 8; in uint8 2 - 8 would be 250.
    x = np.where(four_pixels.x > 0, 2, 8).astype(np.uint8)
    test = Examples(10 - x.astype(np.float32), four_pixels.y, 'bytes')
    np.save(path, x.reshape(30, 4))
    assert score(test=test, ball=LinfBall(6, 0, 255)) == 0
    with pytest.raises(UserError, match='farther than epsilon = 5 .*, the worst by 1 '):
        score(test=test, ball=LinfBall(5, 0, 255))


@pytest.mark.parametrize(
    'spoil, words',
    [
        (lambda x: x[:-1], 'expected an array of shape .* found .29, 4.'),
        (lambda x: x * np.nan, '30 of 30 images .* NaN'),
        (lambda x: x + 0.4, '30 of 30 images .* farther than epsilon = 0.3'),
        (lambda x: -x, '30 of 30 images .* pixel range'),
    ],
)
def test_score_refuses_a_submission_before_it_asks_for_a_network(
    spoil, words, score, path, predictions, four_pixels, capsys
):
    np.save(path, spoil(four_pixels.x.reshape(30, 4)))
    assert re.search(words, refusal(score))
    assert 'network' not in score.asked
    assert 'Accuracy' not in capsys.readouterr().out
    assert not predictions.exists()


def test_score_warns_of_the_ball_only_when_it_has_images_to_judge(score, path):
    np.save(path, np.zeros((29, 4)))
    assert 'expected an array of shape (30, 4)' in refusal(score)
    assert score.asked == ['data']


def test_score_refuses_the_file_before_it_asks_for_data(score, tmp_path):
    assert 'No such file' in refusal(score)
    assert score.asked == []
    np.savez(tmp_path / 'attack.npz', x=np.zeros(3))
    assert 'npz' in refusal(score, submission=tmp_path / 'attack.npz')
    assert score.asked == []


@pytest.mark.parametrize('name', ['attack.npy', '../{folder}/attack.npy', '~/attack.npy'])
def test_score_does_not_write_over_the_submission(
    name, score, path, tmp_path, four_pixels, monkeypatch
):
    monkeypatch.setenv('HOME', str(tmp_path))
    np.save(path, four_pixels.x.reshape(30, 4))
    before = path.read_bytes()
    same = name if name[0] == '~' else tmp_path / name.format(folder=tmp_path.name)
    assert '--predictions another name' in refusal(score, predictions=same)
    assert path.read_bytes() == before and score.asked == []
