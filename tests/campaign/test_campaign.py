"""A sample of the campaign; `make campaign` runs all of it."""

import pytest
from campaign.main import cases, meet, prepare

EVERY = 131
"""One case in so many is met."""


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return prepare(tmp_path_factory.mktemp("campaign"))


@pytest.mark.slow
def test_a_sample_of_the_cases_ends_as_it_may(finished, tmp_path):
    wrong = {}
    for number, case in enumerate(list(cases(finished))[::EVERY]):
        found, ending = meet(case, tmp_path / str(number), finished)
        if found is not None:
            wrong[case.name] = f"{found} ({ending})"
    assert not wrong


def test_the_campaign_has_no_case_twice(finished):
    names = [case.name for case in cases(finished)]
    assert len(names) == len(set(names)) >= 700
