import html5lib
import pytest
from helpers import small_pictures
from helpers.reports import gathered, make, written
from helpers.tracks import board_of, planted

from genbench.runs.monitoring import sample_files


@pytest.fixture(scope="session")
def results(tmp_path_factory):
    """A results folder with a suite, a run of no suite, and a failure. Its pictures are drawn, so that they differ."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sample_files, "sample_picture", small_pictures.DRAW)
        return make(tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="session")
def report(results):
    """The report of that folder."""
    return gathered(results)[0]


@pytest.fixture(scope="session")
def site(results):
    """The pages of that report, by path."""
    return written(results)


@pytest.fixture(scope="session")
def trees(site):
    """The pages, by a parser that forgives nothing."""
    parser = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False)
    return {path: parser.parse(text) for path, text in site.items()}


@pytest.fixture
def board(tmp_path):
    """A track with planted values."""
    return board_of(tmp_path, planted())
