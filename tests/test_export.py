"The package is what the notebooks export, and the notebooks are clean."
import filecmp, json, os, shutil, sys

import pytest

from notebooks import LIB, NBS, NOTEBOOKS, ROOT, succeed


def python_files(folder): return {p.relative_to(folder).as_posix() for p in folder.rglob('*.py')}


def test_package_equals_a_fresh_export(tmp_path):
    shutil.copy(ROOT/'settings.ini', tmp_path)
    shutil.copytree(NBS, tmp_path/'nbs', ignore=shutil.ignore_patterns('.ipynb_checkpoints'))
    env = {k: v for k, v in os.environ.items() if k != 'IN_TEST'}
    export = [sys.executable, '-c', 'from nbdev.doclinks import nbdev_export; nbdev_export()']
    succeed(export, cwd=tmp_path, env=env)
    fresh = tmp_path/'dsdist'
    assert python_files(fresh) == python_files(LIB)
    _, differ, _ = filecmp.cmpfiles(fresh, LIB, python_files(LIB), shallow=False)
    assert not differ, f"{differ}: run nbdev_export"


@pytest.mark.parametrize('nb', NOTEBOOKS, ids=str)
def test_clean(nb):
    from nbdev.clean import _nbdev_clean
    from execnb.nbio import nb2str
    stored = nb.path.read_text(encoding='utf-8')
    clean = json.loads(stored)
    _nbdev_clean(clean)
    assert nb2str(clean) == stored, "run nbdev_clean"
