"""The report in a browser: on phone and desktop, in light and dark, with mouse and keyboard."""

import json
import shutil

import pytest

from genbench.report.formats.page import page

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs chromium and chromedriver (Debian packages)")

QUIET = ["headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking"]
QUIET += ["disable-component-update", "disable-sync", "disable-dev-shm-usage"]


@pytest.fixture(scope="module")
def url(tmp_path_factory, report):
    path = tmp_path_factory.mktemp("browser") / "report.html"
    path.write_text(page(report), encoding="utf-8")
    return path.as_uri()


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


@pytest.fixture(params=[(w, s) for w in (390, 1280) for s in ("light", "dark")], ids=lambda p: f"{p[0]}-{p[1]}")
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
            assert message["params"]["request"]["url"].startswith(("file:", "data:"))


def ask(driver, script, *arguments):
    return driver.execute_script(f"return {script}", *arguments)


def first(driver, selector):
    return driver.find_element("css selector", selector)


def column(driver, number):
    script = "[...document.querySelectorAll('table.sortable')[0].tBodies[0].rows]"
    return ask(driver, f"{script}.map(r => [r.cells[0].dataset.label, r.cells[{number}].dataset.v])")


def test_the_page_fits_its_width_and_follows_the_color_scheme(opened, request):
    width, scheme = request.node.callspec.params["opened"]
    assert ask(opened, "innerWidth") == width
    assert ask(opened, "document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    paper = ask(opened, "getComputedStyle(document.body).backgroundColor")
    shades = [int(part) for part in paper[4:-1].split(",")]
    assert (max(shades) < 60) if scheme == "dark" else (min(shades) > 200)


def test_a_column_sorts_in_both_directions(opened):
    before = column(opened, 1)
    assert before[0][0] == "real vs. real (floor)"
    number = 1 + next(i for i in range(9) if len({v for _, v in column(opened, i + 1)[1:]} - {""}) > 2)
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


def test_the_origin_of_a_number_opens_by_mouse_and_by_keyboard(opened):
    link = first(opened, "td a.v")
    opened.execute_script("arguments[0].scrollIntoView({block: 'center', inline: 'center'})", link)
    link.click()
    assert ask(opened, "document.getElementById('origin').open")
    shown = first(opened, "#origin").text
    for part in ("Value of each seed", "genbench run --model cfm --dataset moons", "cfm-moons-1-", "protocol"):
        assert part in shown
    first(opened, "#origin .close").click()
    assert not ask(opened, "document.getElementById('origin').open")

    link.send_keys("\ue014")  # right: the next number
    assert ask(opened, "document.activeElement.matches('td a.v')")
    assert not ask(opened, "document.activeElement === arguments[0]", link)
    focused = opened.switch_to.active_element
    focused.send_keys("\ue007")  # Enter
    assert ask(opened, "document.getElementById('origin').open")
    assert ask(opened, "document.getElementById('origin').contains(document.activeElement)")
    opened.switch_to.active_element.send_keys("\ue00c")  # Escape
    assert not ask(opened, "document.getElementById('origin').open")
    assert ask(opened, "document.activeElement === arguments[0]", focused)


def test_the_slider_moves_points_and_densities(opened):
    slider = first(opened, ".flow input[type=range]")
    assert slider.is_displayed()
    state = "[...document.querySelectorAll('svg[data-paths]')].map(s => [s.querySelector('.p').getAttribute('d'), "
    state += "s.querySelector('mask svg').getAttribute('viewBox')])"
    end = ask(opened, state)
    opened.execute_script("arguments[0].scrollIntoView({block: 'center'})", slider)
    slider.send_keys("\ue011")  # Home: t = 0
    start = ask(opened, state)
    assert first(opened, ".flow output").text == "t = 0.00"
    assert len(start) >= 2
    assert all(one != other and view != late for (one, view), (other, late) in zip(start, end, strict=True))
    assert len({points for points, _ in start}) == 1  # the same noise for every model
    slider.send_keys("\ue010")  # End
    moved = ask(opened, f"({state}).map(([d]) => d.match(/[\\d.]+/g).map(Number))")
    for (points, _), there in zip(end, moved, strict=True):
        placed = [float(part) for place in points.split("M")[1:] for part in place.removesuffix("h0").split()]
        assert [x for i, x in enumerate(there) if i % 3 != 2] == pytest.approx(placed)


def test_play_runs_to_the_end(opened):
    button = first(opened, ".flow .control button")
    opened.execute_script("arguments[0].scrollIntoView({block: 'center'})", button)
    button.click()
    assert button.text == "Stop"
    button.click()
    assert button.text == "Play"


def test_a_model_can_be_selected_in_a_legend(opened):
    button = first(opened, ".legend button")
    opened.execute_script("arguments[0].scrollIntoView({block: 'center'})", button)
    button.click()
    assert button.get_attribute("aria-pressed") == "true"
    model = ask(opened, "arguments[0].closest('li').dataset.model", button)
    lit = ask(opened, "[...document.querySelectorAll('.picked .s.on')].map(s => s.dataset.model)")
    assert set(lit) == {model}


def test_the_page_works_without_javascript(chromium, url):
    chromium.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        chromium.get(url)
        shown = first(chromium, "main").text
        assert "Significantly best" in shown or "Tied for best" in shown or "real vs. real (floor)" in shown
        assert not chromium.find_elements("css selector", "thead button")
        assert not first(chromium, ".control").is_displayed()
        assert first(chromium, ".panel svg").size["width"] > 80
        assert first(chromium, ".chart").size["width"] > 80
    finally:
        chromium.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
