"""What all tests share. `python -m pytest` in the project's folder runs everything: every notebook, the house rules, the
package, the website. No configuration file: the top level holds only what the design names, so settings are made here."""
import os, sys
from pathlib import Path

import pytest

import browser, exceptions
from notebooks import QUIET, ROOT, Pool, succeed

SLOW = ['test_packaging.py', 'test_readme.py', 'test_site.py', 'test_notebooks.py']
SECONDS = 'dsdist/seconds'   # in pytest's cache: CPU seconds of each notebook at its last run


def pytest_configure(config):
    "One line a test, and the slowest ten at the end; without arguments only tests/ is searched"
    config.option.verbose = max(config.option.verbose, 1) if config.option.verbose >= 0 else config.option.verbose
    os.environ.setdefault('DSDIST_DEVICE', 'cpu')   # what is tested here is the same on every machine
    exceptions.writing = config.option.exceptions
    if config.option.durations is None: config.option.durations, config.option.durations_min = 10, 5.
    if config.args_source is pytest.Config.ArgsSource.INVOCATION_DIR: config.args[:] = [str(ROOT/'tests')]


def pytest_addoption(parser):
    parser.addoption('--exceptions', action='store_true', help="write anew which notebooks break a house rule (tests/exceptions.json)")


def pytest_collection_modifyitems(config, items):
    "Quick checks first, so that a slip shows before minutes of notebooks; then the notebooks, the longest first: by their last run, else by size"
    last = config.cache.get(SECONDS, {}) if hasattr(config, 'cache') else {}
    def place(item):
        if item.path.name in SLOW[:-1]: return SLOW.index(item.path.name) + 1,
        if item.path.name != SLOW[-1]: return 0,
        nb = item.callspec.params['nb']
        return len(SLOW), -last.get(str(nb), float('inf')), -nb.path.stat().st_size, str(nb)
    items.sort(key=place)


def pytest_collection_finish(session):
    "The notebooks that were asked for begin to run at once, while the other tests go on"
    wanted = [str(item.callspec.params['nb']) for item in session.items if item.path.name == SLOW[-1]]
    if wanted and not session.config.option.collectonly: session.config.pool = Pool(list(dict.fromkeys(wanted)))


def pytest_sessionfinish(session):
    config = session.config
    browser.close()
    if config.option.exceptions: exceptions.write()
    if not hasattr(config, 'pool'): return
    config.pool.close()
    if hasattr(config, 'cache'): config.cache.set(SECONDS, config.cache.get(SECONDS, {}) | config.pool.seconds())


def pytest_terminal_summary(terminalreporter, config):
    if not (seconds := config.pool.seconds() if hasattr(config, 'pool') else {}): return
    terminalreporter.section('slowest notebooks')
    for nb in sorted(seconds, key=seconds.get, reverse=True)[:10]: terminalreporter.line(f'{seconds[nb]:6.1f} CPU seconds  {nb}')
    terminalreporter.line(f'{sum(seconds.values()):6.0f} together; this machine takes {config.pool.slowness():.2f} times the reference')


@pytest.fixture(scope='session')
def quiet():
    "The environment of a notebook or a command under test, see `QUIET`"
    return {**os.environ, **QUIET}


@pytest.fixture(scope='session')
def pool(pytestconfig):
    "Runs the notebooks since the beginning of the session"
    return pytestconfig.pool


@pytest.fixture(scope='session')
def site_build(quiet):
    """(folder of the website, what went wrong or ''): built once a run from the notebooks as they are; a warning of Sphinx is an error.

    `DSDIST_SITE`: a folder that holds the site already, built by `python nbs/_site/build.py --site` from this checkout."""
    if 'DSDIST_SITE' in os.environ: return Path(os.environ['DSDIST_SITE']).resolve(), ''
    try: succeed([sys.executable, 'nbs/_site/build.py', '--site'], cwd=ROOT, env=quiet)
    except pytest.fail.Exception as e: return ROOT/'_docs', e.msg
    return ROOT/'_docs', ''


@pytest.fixture
def site(site_build):
    "The folder of the website"
    folder, wrong = site_build
    if wrong: pytest.fail('the website was not built: see test_builds_without_warnings', pytrace=False)
    return folder
