"""The report in a browser: on phone and desktop, in light and dark, with mouse and keyboard, under a strict policy."""

import io
import json
import shutil

import numpy as np
import pytest
from PIL import Image

from genbench.storage import files

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
WebDriverWait = pytest.importorskip("selenium.webdriver.support.wait").WebDriverWait
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs chromium and chromedriver (Debian packages)")

QUIET = ["headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking"]
QUIET += ["disable-component-update", "disable-sync", "disable-dev-shm-usage"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, site):
    folder = tmp_path_factory.mktemp("browser")
    for path, text in site.items():
        files.write(folder / path, text)
    return folder


@pytest.fixture(scope="module")
def url(folder):
    return (folder / "report.html").as_uri()


@pytest.fixture(scope="module")
def suite_url(folder):
    return next(path for path in folder.glob("report/suite-tiny-????????.html")).as_uri()


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in [*QUIET, f"user-data-dir={tmp_path_factory.mktemp('chromium')}"]:
        options.add_argument(f"--{argument}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture(params=[(390, "light"), (1280, "dark")], ids=lambda p: f"{p[0]}-{p[1]}")
def opened(request, chromium, url):
    width, scheme = request.param
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    chromium.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    chromium.get_log("browser"), chromium.get_log("performance")
    chromium.get(url)
    yield chromium
    assert chromium.get_log("browser") == []
    for entry in chromium.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            assert message["params"]["request"]["url"].startswith(("file:", "data:", "chrome:"))


def ask(driver, script, *arguments):
    return driver.execute_script(f"return {script}", *arguments)


def first(driver, selector):
    return driver.find_element("css selector", selector)


def column(driver, number):
    script = "[...document.querySelectorAll('table.sortable')[0].tBodies[0].rows]"
    return ask(driver, f"{script}.map(r => [r.cells[0].textContent.trim(), r.cells[{number}].dataset.v])")


def test_every_page_fits_its_width_and_follows_the_color_scheme(opened, request, folder):
    width, scheme = request.node.callspec.params["opened"]
    for path in sorted(folder.rglob("*.html")):
        opened.get(path.as_uri())
        assert ask(opened, "innerWidth") == width
        assert ask(opened, "document.documentElement.scrollWidth <= document.documentElement.clientWidth"), path
        assert ask(opened, "document.documentElement.scrollHeight") < 8000
        if width >= 1280:
            wide = "[...document.querySelectorAll('table')].filter(t => t.offsetWidth > innerWidth).length"
            assert ask(opened, wide) == 0
        paper = ask(opened, "getComputedStyle(document.body).backgroundColor")
        shades = [int(part) for part in paper[4:-1].split(",")]
        assert (max(shades) < 60) if scheme == "dark" else (min(shades) > 200)


def test_charts_are_dark_on_white_paper_in_both_schemes(opened, suite_url):
    opened.get(suite_url)
    assert ask(opened, "[...document.images].every(i => i.naturalWidth > 0)")
    chart = first(opened, ".charts img")
    opened.execute_script("arguments[0].scrollIntoView({block: 'center'})", chart)
    shot = np.asarray(Image.open(io.BytesIO(chart.screenshot_as_png)).convert("RGB"))
    paper = np.median(shot.reshape(-1, 3), axis=0)
    assert paper.min() > 240
    assert np.abs(shot - paper).max() > 150  # something is drawn on it


def test_a_column_sorts_in_both_directions(opened, suite_url):
    opened.get(suite_url)
    before = column(opened, 1)
    assert before[0][0] == "real vs. real (floor)"
    number = 1 + next(i for i in range(5) if len({v for _, v in column(opened, i + 1)[1:]} - {""}) > 2)
    head = opened.find_elements("css selector", "table.sortable")[0].find_elements("css selector", "thead th")[number]
    button = head.find_element("css selector", "button")
    for wanted, sign in (("ascending", 1), ("descending", -1)):
        opened.execute_script("arguments[0].scrollIntoView({block: 'center', inline: 'center'})", button)
        button.click()
        assert head.get_attribute("aria-sort") == wanted
        rows = column(opened, number)
        assert rows[0][0] == "real vs. real (floor)"
        values = [sign * float(value) for _, value in rows[1:] if value]
        assert values == sorted(values)
        assert [value for _, value in rows[1:]][len(values) :] == [""] * (len(rows) - 1 - len(values))
    first(opened, "table.sortable thead th button").send_keys("\ue007")  # Enter: the order of the suite again
    assert column(opened, 1) == before


def test_a_value_is_looked_up_by_data_set_metric_and_method(opened, url):
    opened.get(url)
    find = first(opened, "#find")
    data, metric = find.find_elements("css selector", "select")
    for select, name in ((data, "moons"), (metric, "straightness")):
        next(e for e in select.find_elements("css selector", "option") if e.text == name).click()
    first(opened, "#find input").send_keys("WCFM, none")
    rows = [row for row in find.find_elements("css selector", "tbody tr") if row.is_displayed()]
    assert [row.text.split()[0] for row in rows] == ["wcfm"] * 3
    values = [float(row.find_element("css selector", "td").get_attribute("data-v")) for row in rows]
    assert values == sorted(values)
    opened.execute_script("arguments[0].scrollIntoView({block: 'center'})", rows[0])
    rows[0].find_element("css selector", "th a").click()
    WebDriverWait(opened, 300).until(lambda driver: "/report/" in driver.current_url)
    assert first(opened, "h1").text.startswith("wcfm kappa=")


def test_the_pages_work_without_javascript(chromium, url, suite_url):
    chromium.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        chromium.get(url)
        assert "Suite tiny" in first(chromium, "main").text
        assert not first(chromium, "#find").is_displayed()
        chromium.get(suite_url)
        assert "real vs. real (floor)" in first(chromium, "main").text
        assert not chromium.find_elements("css selector", "thead button")
        assert first(chromium, ".charts img").size["width"] > 80
    finally:
        chromium.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
