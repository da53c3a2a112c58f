import pytest
from pydantic import BaseModel

from genbench.validation import explain


def test_the_first_of_several_faults_is_explained():
    class Point(BaseModel):
        x: int
        y: int

    with pytest.raises(ValueError, match="x") as wrong:
        Point.model_validate({"x": "one", "y": "two"})
    said = explain(wrong.value)
    assert said.startswith("x: 'one' is wrong: input should be a valid integer")
    assert said.endswith("(and 1 more)")
    assert explain(OSError("no room")) == "no room"
