"""The summary names the best means and their budgets, and shows samples of what the table compares."""

from io import BytesIO

from helpers.leaderboards import known, suite
from PIL import Image

from genbench.analysis.leaderboard import leaderboard
from genbench.report.blocks import Picture, Report, Section
from genbench.report.summary import STRIP, strip, winners


def test_the_best_mean_is_named_once_for_a_budget():
    found = leaderboard([suite(known())])
    assert winners(found).startswith("Best means by w2 after 9 steps of 4: cfm on mixture and moons. ") or winners(
        found
    ).startswith("Best means by w2 after 9 steps of 4: cfm on moons and mixture. ")
    assert winners(found._replace(boards=())) == ""


def test_the_strip_shows_small_pictures_of_compared_data_only(tmp_path):
    Image.new("LA", (3000, 900), (90, 255)).save(tmp_path / "a.png")
    picture = Picture(tmp_path / "a.png", "Samples of all models", "")
    datas = ("moons", "mixture", "8gaussians", "circles", "elsewhere")
    sections = tuple(Section(data, (), (Section("Samples", (picture,)),)) for data in datas)
    report = Report("title", "", (), (Section("Suite tiny", (), sections),))
    found = leaderboard([suite(known(seeds=2, datas=("moons", "mixture")))])
    shown = dict(strip(report, found))
    assert {*shown} == {"moons", "mixture"}
    assert len(shown) <= STRIP
    for file in shown.values():
        with Image.open(BytesIO(file)) as image:
            assert image.width == 640
            assert abs(image.width / image.height - 3000 / 900) < 0.05
