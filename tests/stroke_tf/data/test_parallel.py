import tensorflow as tf

from stroke_tf.data import make_dataset
from stroke_tf.data.parallel import parallel_map
from stroke_tf.labels import Task


def test_elements_keep_their_order_and_iterators_do_not_wait_for_the_autotuner():
    dataset = parallel_map(tf.data.Dataset.range(100), lambda number: 2 * number)
    assert [int(element) for element in dataset] == list(range(0, 200, 2))
    for made in (dataset, dataset.map(lambda number: number).batch(8)):
        assert made.options().autotune.enabled is False


def test_every_data_set_is_made_so(gray_records):
    dataset = make_dataset(gray_records, folds=(1,), task=Task.DETECT, image_size=16, batch_size=4)
    assert dataset.options().autotune.enabled is False
