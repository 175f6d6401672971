"""What all tests share. `python -m pytest` in the project's folder runs everything: every notebook, the house rules, the
package, the website. No configuration file: the top level holds only what the design names, so settings are made here."""
import os, sys
from pathlib import Path

import pytest

from notebooks import ROOT, succeed


def pytest_configure(config):
    "One line a test, and the slowest ten at the end; without arguments only tests/ is searched"
    config.option.verbose = max(config.option.verbose, 1) if config.option.verbose >= 0 else config.option.verbose
    if config.option.durations is None: config.option.durations, config.option.durations_min = 10, 5.
    if config.args_source is pytest.Config.ArgsSource.INVOCATION_DIR: config.args[:] = [str(ROOT/'tests')]


def pytest_collection_modifyitems(items):
    "Quick checks first, so that a slip shows before minutes of notebooks; the order within a file stays"
    slow = ['test_packaging.py', 'test_notebooks.py', 'test_readme.py', 'test_site.py']
    items.sort(key=lambda item: slow.index(item.path.name) + 1 if item.path.name in slow else 0)


@pytest.fixture(scope='session')
def quiet():
    "The environment of a notebook or a command under test: no bars, no display, kernels interpreted, one thread for nets this small"
    return {**os.environ, 'OMP_NUM_THREADS': '1', 'TQDM_DISABLE': '1', 'TRITON_INTERPRET': '1', 'MPLBACKEND': 'Agg', 'PYTHONUTF8': '1'}


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
