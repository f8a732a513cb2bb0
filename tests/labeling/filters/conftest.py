"""What tests of filters share."""

import pytest
from made_filter import write_filter
from stillroom.labeling.filters.filter_package import load_filter


@pytest.fixture(scope="session")
def config(tmp_path_factory):
    """The config of the made filter."""
    return load_filter(write_filter(tmp_path_factory.mktemp("filter"))).config
