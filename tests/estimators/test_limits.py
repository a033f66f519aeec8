import pytest

from lamina.core.errors import SettingError
from lamina.estimators import (
    BernoulliRBM,
    ClassificationRBM,
    ConvolutionalAutoencoder,
    DBNClassifier,
    DBNRegressor,
    GaussianRBM,
    SequenceAutoencoder,
)
from lamina.estimators.limits import LIMITS, check_settings

ALL = [
    BernoulliRBM,
    ClassificationRBM,
    ConvolutionalAutoencoder,
    DBNClassifier,
    DBNRegressor,
    GaussianRBM,
    SequenceAutoencoder,
]


@pytest.mark.parametrize("cls", ALL)
def test_every_parameter_has_a_limit_and_every_default_lies_within(cls):
    elsewhere = {"random_state", "device", "unlabelled", "shape"}
    assert set(cls().get_params()) - elsewhere <= set(LIMITS)
    check_settings(cls())


def test_none_only_where_it_is_the_default():
    check_settings(DBNClassifier(epochs=None))
    with pytest.raises(SettingError, match="epochs is None; expected an integer"):
        check_settings(GaussianRBM(epochs=None))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"hidden": ()}, "hidden"),
        ({"hidden": (10, 0)}, r"hidden\[1\] is 0"),
        ({"hidden": "500"}, "hidden is '500'"),
        ({"visible": "gausian"}, "did you mean 'gaussian'"),
        ({"dropout": 1.0}, "dropout is 1.0"),
        ({"dtype": "float16"}, "dtype"),
        ({"epochs_pretrain": [3, -1]}, r"epochs_pretrain\[1\]"),
        ({"semi_supervised": None}, "semi_supervised is None"),
    ],
)
def test_messages(settings, message):
    with pytest.raises(SettingError, match=message):
        check_settings(DBNClassifier(**settings))


def test_flags_are_not_numbers():
    with pytest.raises(SettingError, match="standardise is 1; expected True or False"):
        check_settings(GaussianRBM(standardise=1))
    check_settings(BernoulliRBM(verbose=True))
