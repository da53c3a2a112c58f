import math
from typing import Any

import pytest
from pydantic import BaseModel, TypeAdapter

from genbench.errors import ConfigError
from genbench.validation import explain, validated


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


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (math.nan, "nan is wrong: numbers are finite"),
        (-math.inf, "-inf is wrong: numbers are finite"),
        ([1.0, {"x": math.inf}], "inf is wrong: numbers are finite"),
        (2**63, "9223372036854775808 is wrong: whole numbers are below 2^63"),
        (-(2**63), "whole numbers are below 2^63"),
        (10**400, "whole numbers are below 2^63"),
        (1e39, "1e+39 is wrong: numbers of single precision are below 3.4e38"),
        (-1e308, "numbers of single precision are below 3.4e38"),
    ],
)
def test_numbers_that_no_tensor_holds_are_refused(value, why):
    with pytest.raises(ConfigError, match=r"plan.lr: ") as wrong:
        validated(TypeAdapter(Any), value, "plan.lr")
    assert str(wrong.value).endswith(why)
    assert validated(TypeAdapter(Any), [2**63 - 1, 3.4e38], "plan.lr") == [2**63 - 1, 3.4e38]
