import keras
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from stroke_tf.models.heads import HEADS
from stroke_tf.training.features import FeatureSet
from stroke_tf.training.probe import fit_probe


def _head(kind: str = "linear", width: int = 5) -> keras.Model:
    features = keras.Input((width,))
    return keras.Model(features, HEADS[kind](features, dropout=0.5, dense_units=3))


def _features(copies: int = 0) -> FeatureSet:
    random = np.random.default_rng(0)
    labels = (np.arange(60) % 3 == 0).astype(np.float32)[:, None]
    x = random.normal(3, 10, (copies + 1, 60, 5)).astype(np.float32)
    x[..., :1] += 10 * labels
    names = tuple(str(n) for n in range(60))
    return FeatureSet(x, labels, names, names)


@pytest.mark.parametrize("copies", [0, 2])
def test_the_head_scores_as_scikit_learns_logistic_regression(copies):
    features, head = _features(copies), _head()
    fit_probe(head, features, inverse_penalty=0.1, class_weight={0: 1.0, 1: 2.0})
    x = features.features.reshape(-1, 5)
    labels = np.concatenate([features.labels[:, 0]] * (copies + 1))
    model = LogisticRegression(C=0.1, class_weight={0: 1.0, 1: 2.0})
    expected = make_pipeline(StandardScaler(), model).fit(x, labels).predict_proba(x)[:, 1]
    np.testing.assert_allclose(head.predict(x, verbose=0)[:, 0], expected, atol=5e-3)


def test_a_feature_that_never_varies_does_no_harm():
    features, head = _features(), _head()
    features.features[..., 2] = 7
    fit_probe(head, features, inverse_penalty=1.0)
    assert np.isfinite(head.predict(features.features[0], verbose=0)).all()


def test_another_head_and_no_penalty_are_refused():
    with pytest.raises(ValueError, match='must be that of a classifier with head="linear"'):
        fit_probe(_head("saucis"), _features(), inverse_penalty=1.0)
    with pytest.raises(ValueError, match="must be > 0. Received: 0"):
        fit_probe(_head(), _features(), inverse_penalty=0)
