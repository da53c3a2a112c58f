"""The components that pages of the documentation define."""

import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "new_method.md"
TINY = {"plan": {"steps": 10}, "evaluation": {"n": 40, "curve": []}}
"""Settings of a run of such a component."""


def saved_from(page, folder):
    """Save the documented component of a page, and return the name of its file."""
    text = (PAGE.parent / page).read_text()
    (name,) = set(re.findall(r"my_\w+\.py", text.split("```python")[0]))
    (folder / name).write_text(next(iter(re.findall(r"```python\n(.*?)```", text, re.DOTALL))))
    return name
