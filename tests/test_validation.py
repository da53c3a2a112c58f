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


NUMBERS = {
    "NaN": math.nan,
    "-Infinity": -math.inf,
    "Infinity": [1.0, {"x": math.inf}],
    "1e+39": 1e39,
    "-1e+308": -1e308,
}
NUMBERS |= {"9223372036854775808": 2**63, "-9223372036854775808": -(2**63), f"1{'0' * 39}": 10**400}


def test_numbers_that_no_tensor_holds_are_refused():
    bounds = "numbers are finite and below 3.4e38, whole numbers below 2^63"
    for shown, value in NUMBERS.items():
        with pytest.raises(ConfigError) as wrong:
            validated(TypeAdapter(Any), value, "plan.lr")
        assert str(wrong.value) == f"plan.lr: {shown} is wrong: {bounds}"
    with pytest.raises(ConfigError, match=r"^plan.lr: \['a\\x00b'\] is wrong: it holds a null byte$"):
        validated(TypeAdapter(Any), ["a\0b"], "plan.lr")
    assert validated(TypeAdapter(Any), [2**63 - 1, 3.4e38], "plan.lr") == [2**63 - 1, 3.4e38]
