import numpy as np
import pytest
from scipy.stats import ks_2samp


@pytest.fixture
def assert_same_law():
    """Return an assertion that two samples of the plane have one law, judged by eight projections and the norm."""

    def check(ours, theirs):
        for angle in np.linspace(0, np.pi, 8, endpoint=False):
            direction = np.array([np.cos(angle), np.sin(angle)])
            assert ks_2samp(ours @ direction, theirs @ direction).pvalue > 1e-4
        assert ks_2samp(np.linalg.norm(ours, axis=1), np.linalg.norm(theirs, axis=1)).pvalue > 1e-4

    return check
