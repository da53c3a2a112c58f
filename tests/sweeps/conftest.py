import re

import numpy as np
import pytest
from helpers.command_line import forget_files
from helpers.pages import PAGE

from genbench.user_code import FILES


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with the documented model, a metric and points; its files are forgotten at the end."""
    monkeypatch.setenv(FILES, "")
    monkeypatch.chdir(tmp_path)
    code = next(iter(re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)))
    (tmp_path / "my_model.py").write_text(code)
    (tmp_path / "my_metric.py").write_text(
        "from genbench.metrics.evaluation import Value\nfrom genbench.registry import metrics\n"
        "@metrics.register('spread', better='none', of='samples')\ndef spread(evaluation):\n"
        "    'Mean square of the samples.'\n"
        "    return Value(float(evaluation.samples(40).square().mean()), 40, 'model space')\n"
    )
    np.save(tmp_path / "points.npy", np.random.default_rng(0).normal(size=(200, 2)))
    yield tmp_path
    forget_files()
