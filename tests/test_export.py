"The package is what the notebooks export, and the notebooks are clean."
import filecmp, json, os, shutil, sys

import pytest

from notebooks import LIB, NBS, NOTEBOOKS, PACKAGE, ROOT, package_files, succeed


def test_package_equals_a_fresh_export(tmp_path):
    shutil.copy(ROOT/'settings.ini', tmp_path)
    shutil.copytree(NBS, tmp_path/'nbs', ignore=shutil.ignore_patterns('.ipynb_checkpoints', '__pycache__'))
    env = {k: v for k, v in os.environ.items() if k != 'IN_TEST'}
    succeed([sys.executable, 'nbs/_site/export.py'], cwd=tmp_path, env=env)
    fresh = tmp_path/'dsdist'
    stale, missing = PACKAGE - package_files(fresh), package_files(fresh) - PACKAGE
    _, differ, _ = filecmp.cmpfiles(fresh, LIB, PACKAGE - stale, shallow=False)
    assert not (differ or stale or missing), f"{differ} differ, {stale} have no notebook, {missing} are missing: run python nbs/_site/build.py --export"


@pytest.mark.parametrize('nb', NOTEBOOKS, ids=str)
def test_clean(nb):
    from nbdev.clean import _nbdev_clean
    from execnb.nbio import nb2str
    stored = nb.path.read_text(encoding='utf-8')
    clean = json.loads(stored)
    _nbdev_clean(clean)
    assert nb2str(clean) == stored, "run nbdev_clean"
