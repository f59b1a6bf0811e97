import keras
import numpy as np
import tensorflow as tf

from stroke_tf.inference import Predictor

SIZE = 32


class OneSided(keras.layers.Layer):
    """Sees lesion in the left half only, whatever there is."""

    def call(self, images):
        left = keras.ops.cast(keras.ops.arange(images.shape[2]) < images.shape[2] // 2, "float32")
        lesion = keras.ops.ones_like(images[..., :1]) * left[None, None, :, None]
        return keras.ops.concatenate([1 - lesion, lesion, 0 * lesion], axis=-1)


def test_mirroring_takes_the_mean_with_the_mirror_image_turned_back():
    model = keras.Sequential([keras.Input((4, 8, 3)), OneSided()])
    image = tf.zeros((2, 4, 8, 3))
    assert Predictor(model).probs(image)[0, 0, :, 1].tolist() == [1] * 4 + [0] * 4
    mirrored = Predictor(model, mirror=True).probs(image)
    assert mirrored.dtype == np.float32
    np.testing.assert_array_equal(mirrored[..., 1], 0.5)


def test_a_joint_network_is_mirrored_in_both_that_it_says():
    images = keras.Input((4, 8, 3))
    mask = OneSided()(images)
    left = keras.layers.Cropping2D(((0, 0), (0, 2)))(mask)
    named = keras.layers.GlobalAveragePooling2D()(left * images[:, :, :6])
    joint = keras.Model(images, {"mask": mask, "slice": named})
    half = np.zeros((1, 4, 8, 3), np.float32)
    half[:, :, :4] = 1
    both = Predictor(joint, mirror=True).outputs(tf.constant(half))
    np.testing.assert_array_equal(both["mask"][..., 1], 0.5)
    # Of six columns seen four are bright, all of lesion; of the mirror image's six the last two.
    np.testing.assert_allclose(both["slice"], [[1 / 6, 1 / 3, 0]], atol=1e-6)
