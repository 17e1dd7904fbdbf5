"""The batches of a training, made ready while the devices still compute."""

import itertools
from collections.abc import Iterator

import tensorflow as tf

from common.data import Examples, ShuffledBatches

_AHEAD = 2  # batches a device that wait for it


def batches_from(
    step: int, examples: Examples, order: ShuffledBatches, strategy: tf.distribute.Strategy
) -> Iterator:
    """The batches of training steps `step`, `step` + 1, ... without end, by tf.data.

    Args:
        step: number of the first, from 0.
        examples: the training images.
        order: which of them make up each step's batch, over all replicas.
        strategy: each of its replicas gets an equal share of the batch, the first the first.

    Returns:
        Iterator over pairs of float32 images [share, ...] and int32 labels [share], or of the
        replicas' values of these.
    """
    share = order.batch_size // strategy.num_replicas_in_sync

    def of_host(context: tf.distribute.InputContext) -> tf.data.Dataset:
        replicas = context.num_replicas_in_sync // context.num_input_pipelines
        first = context.input_pipeline_id * replicas

        def shares():
            for number in itertools.count(step):
                index = order(number)
                for replica in range(first, first + replicas):
                    part = index[replica * share:(replica + 1) * share]
                    yield examples.x[part], examples.y[part]

        dataset = tf.data.Dataset.from_generator(shares, output_signature=(
            tf.TensorSpec([share, *examples.x.shape[1:]], tf.float32),
            tf.TensorSpec([share], tf.int32)))
        # Known to be endless, it spares several hosts the question whether all have a batch left.
        endless = tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY)
        return dataset.apply(endless).prefetch(_AHEAD * replicas)

    return iter(strategy.distribute_datasets_from_function(of_host))
