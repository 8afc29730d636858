"""A random network says something of scenes that its batch norms have not seen."""

import numpy as np
import pytest

from benchmarks.plausible import plausible_network
from runtime.damage import CLASS_NAMES
from train.inference import predict_maps
from train.model import ModelConfig
from train.synthetic.scene import make_scene


@pytest.mark.parametrize("seed", [4_242, 20_260])
def test_every_label_occurs_on_other_scenes(network, seed):
    scene = make_scene(seed, 0, 256)
    damage = predict_maps(network, scene.pre, scene.post, 0.5)[0]
    shares = np.bincount(np.asarray(damage).ravel(), minlength=len(CLASS_NAMES)) / damage.size
    assert (shares > 0.02).all()
    assert shares.max() < 0.9


@pytest.fixture(scope="module")
def network():
    return plausible_network(ModelConfig(architecture="si-analytics", width=8), 0)
