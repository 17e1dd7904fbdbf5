"""How adversarial examples are crafted: which networks can be computed in which precision."""

import keras
import numpy as np
import pytest

from common.evaluation.crafting import Crafting


def test_only_a_keras_model_can_be_computed_in_another_precision():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    logits_fn = Crafting(15, dtype='bfloat16', jit_compile=True).logits(model)
    assert (logits_fn.dtype, logits_fn.jit_compile) == ('bfloat16', True)
    assert Crafting(15).logits(logits_fn) is logits_fn
    x = np.ones((2, 4), np.float32)
    np.testing.assert_array_equal(Crafting(15).logits(model.call)(x), model(x))
    for crafting in (Crafting(15, dtype='bfloat16'), Crafting(15, jit_compile=True)):
        with pytest.raises(ValueError, match='expected a Keras model .*found method'):
            crafting.logits(model.call)
