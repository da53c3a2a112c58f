import html5lib
import pytest
from reports import gathered, make

from genbench.report.formats.page import page


@pytest.fixture(scope="session")
def results(tmp_path_factory):
    """A results folder with a suite, a run of no suite, and a failure."""
    return make(tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="session")
def report(results):
    """The report of that folder."""
    return gathered(results)[0]


@pytest.fixture(scope="session")
def tree(report):
    """The page, by a parser that forgives nothing."""
    return html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(page(report))
