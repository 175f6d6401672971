"Wheel and source distribution hold the package and nothing else; what is installed from them works on its own."
import ast, configparser, email, os, re, shutil, subprocess, sys, sysconfig, tarfile, venv, zipfile
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from notebooks import LIB, NOTEBOOKS, PACKAGE, ROOT, succeed, text

CFG = configparser.ConfigParser(delimiters=['='])
CFG.read(ROOT/'settings.ini', encoding='utf-8')
CFG = CFG['DEFAULT']
FILES = {f'dsdist/{f}' for f in PACKAGE}
SITE = Path(sysconfig.get_path('purelib'))


@pytest.fixture(scope='module')
def built(tmp_path_factory):
    "(wheel, source distribution), built offline from a copy of the checkout"
    work = tmp_path_factory.mktemp('build')
    copy = work/'dsdist'
    skip = shutil.ignore_patterns('.git', '.venv', 'venv', '_docs', '_docsrc', '_proc', 'build', 'dist', '*.egg-info', '__pycache__', '.pytest_cache')
    shutil.copytree(ROOT, copy, ignore=skip)
    succeed([sys.executable, '-m', 'build', '--no-isolation', '--outdir', str(work/'out'), str(copy)])
    return next((work/'out').glob('*.whl')), next((work/'out').glob('*.tar.gz'))


def test_wheel_holds_the_package_only(built):
    names = set(zipfile.ZipFile(built[0]).namelist())
    info = f"dsdist-{CFG['version']}.dist-info/"
    assert {n for n in names if not n.startswith(info)} == FILES and {'dsdist/py.typed', 'dsdist/__init__.pyi'} <= FILES
    assert info + 'licenses/LICENSE' in names


def test_sdist_holds_what_builds_the_package_only(built):
    with tarfile.open(built[1]) as tar: names = {m.name.partition('/')[2] for m in tar.getmembers() if m.isfile()}
    needed = {'setup.py', 'settings.ini', 'README.md', 'LICENSE'}
    made = {n for n in names if n.startswith('dsdist.egg-info/')} | {'PKG-INFO', 'setup.cfg'}
    assert names - made == FILES | needed


def test_metadata(built):
    wheel = zipfile.ZipFile(built[0])
    meta = email.message_from_bytes(wheel.read(f"dsdist-{CFG['version']}.dist-info/METADATA"))
    assert meta['Version'] == CFG['version'] and meta['License-Expression'] == 'Apache-2.0'
    assert f'__version__ = "{CFG["version"]}"' in (LIB/'__init__.py').read_text(encoding='utf-8')
    extras = {k[:-len('_requirements')] for k in CFG if k.endswith('_requirements')}
    assert set(meta.get_all('Provides-Extra')) == extras
    plain = [r for r in meta.get_all('Requires-Dist') if 'extra ==' not in r]
    assert len(plain) == len(CFG['requirements'].split())
    assert {k.split(' :: ')[0] for k in meta.get_all('Classifier')} == {'Development Status', 'Intended Audience', 'Natural Language', 'Programming Language', 'Topic', 'Typing'}
    assert '](nbs/' not in meta.get_payload(), "PyPI cannot follow links into the checkout"


def test_notebooks_run_on_their_extra():
    "`pip install '.[notebooks]'` brings all that notebooks import; no more is needed to run them in Jupyter"
    names = {'POT': 'ot', 'scikit-learn': 'sklearn', 'pillow': 'PIL', 'jupyterlab': 'IPython'}
    asked = [re.split(r'[<>=]', r)[0] for r in f"{CFG['requirements']} {CFG['notebooks_requirements']}".split()]
    brought = {names.get(r, r) for r in asked} | {'threadpoolctl', 'dsdist'}   # scikit-learn brings threadpoolctl
    missing = {}
    for nb in NOTEBOOKS:
        own = set(re.findall(r"'(\w+)\.py'", '\n'.join(map(text, nb.code))))   # modules that an example writes
        for n in ast.walk(ast.parse('\n'.join(map(text, nb.code)))):
            found = [a.name for a in n.names] if isinstance(n, ast.Import) else [n.module] if isinstance(n, ast.ImportFrom) else []
            for name in {f.split('.')[0] for f in found} - brought - own - set(sys.stdlib_module_names): missing.setdefault(name, set()).add(str(nb))
    assert not missing


def wanted(names):
    "Distributions that `pip install NAMES` would bring, as this environment has them"
    found, todo = {}, [Requirement(n) for n in names]
    while todo:
        r = todo.pop()
        dist, known = metadata.distribution(r.name), found.setdefault(canonicalize_name(r.name), set())
        fresh = {'', *r.extras} - known
        known |= fresh
        for q in map(Requirement, dist.requires or []):
            if any(q.marker is None and not e or q.marker and q.marker.evaluate({'extra': e}) for e in fresh): todo.append(q)
    return set(found)


def link(site, files, depth=0):
    "Make links in `site` to the files of some distributions: to a whole folder where no other distribution has a part of it"
    levels = {}
    for name, own, path in files:
        if path.parts[0] != '..': levels.setdefault(path.parts[depth], []).append((name, own, path))
    for part, inside in levels.items():
        if not any(own for _, own, _ in inside): continue
        place = Path(*inside[0][2].parts[:depth+1])
        if len({name for name, _, _ in inside}) == 1: (site/place).symlink_to(SITE/place)
        else:
            (site/place).mkdir()
            link(site, inside, depth+1)


@pytest.fixture(scope='module')
def fresh(built, tmp_path_factory):
    "The Python of an environment that has what `pip install '.[notebooks]'` brings, and nothing else; made of links, without a network"
    home = tmp_path_factory.mktemp('fresh')
    venv.create(home, with_pip=False)
    site = next((home/'lib').glob('python*/site-packages'))
    names = wanted(f"{CFG['requirements']} {CFG['notebooks_requirements']}".split())
    dists = {canonicalize_name(d.metadata['Name']): d for d in metadata.distributions(path=[str(SITE)])}
    link(site, [(n, n in names, f) for n, d in dists.items() for f in d.files or [] if n != 'dsdist'])
    zipfile.ZipFile(built[0]).extractall(site)
    python = home/'bin'/'python'
    assert subprocess.run([python, '-c', 'import nbdev'], capture_output=True).returncode, "what belongs to developers is not there"
    return python


@pytest.mark.skipif(os.name == 'nt', reason="links need rights there")
@pytest.mark.parametrize('name', ['00_core', 'data/10_images', 'tutorials/01_digits'])
def test_notebook_runs_in_jupyter_on_the_extra(fresh, name, tmp_path, quiet):
    shutil.copytree(ROOT/'nbs', tmp_path/'nbs', ignore=shutil.ignore_patterns('_*', '.*'))
    succeed([fresh, '-m', 'jupyter', 'nbconvert', '--to', 'notebook', '--execute', '--stdout', f'{name}.ipynb'], cwd=tmp_path/'nbs',
            env={**quiet, 'PYTHONNOUSERSITE': '1', 'JUPYTER_PLATFORM_DIRS': '1', 'HOME': str(tmp_path), 'MPLBACKEND': ''})


def test_supported_pythons_are_tested():
    pythons = CFG['pythons'].split()
    tested = re.search(r"^ +python: \[(.*)\]$", (ROOT/'.github/workflows/test.yml').read_text(encoding='utf-8'), re.M)[1]
    assert [v.strip(" '") for v in tested.split(',')] == pythons and pythons[0] == CFG['min_python']


def test_console_script(built):
    points = zipfile.ZipFile(built[0]).read(f"dsdist-{CFG['version']}.dist-info/entry_points.txt").decode()
    assert 'dsdist = dsdist.__main__:main' in points


def test_installed_wheel_works_away_from_the_checkout(built, tmp_path):
    succeed([sys.executable, '-m', 'pip', 'install', '--quiet', '--no-deps', '--no-index', '--target', str(tmp_path), str(built[0])])
    modules = sorted(f.removesuffix('.py').removesuffix('/__init__').replace('/', '.') for f in FILES if f.endswith('.py'))
    script = f'''
import importlib, sys
import dsdist
from importlib.metadata import distribution
assert dsdist.__file__.startswith(sys.argv[1]), dsdist.__file__
assert dsdist.__version__ == {CFG["version"]!r}
for name in {modules!r}: importlib.import_module(name)
dev = [m for m in ("fastcore", "nbdev", "execnb", "IPython", "pytest", "sphinx") if m in sys.modules]
assert not dev, dev
entry, = (e for e in distribution("dsdist").entry_points if e.group == "console_scripts")
assert callable(entry.load())
'''
    succeed([sys.executable, '-c', script, str(tmp_path)], cwd=tmp_path, env={**os.environ, 'PYTHONPATH': str(tmp_path)})


def test_what_commands_write_here_is_not_committed():
    "The commands, tried in the checkout with their defaults, leave nothing that Git would see"
    import inspect
    from dsdist.shell import distill, files, judge, make
    from dsdist.shell.options import Output
    places = [p.default.path for m in (files, judge, make, distill) for n, f in vars(m).items() if n.startswith('cli_')
              for p in inspect.signature(f).parameters.values() if isinstance(p.default, Output) and isinstance(p.default.path, Path)]
    assert len(places) > 4
    ignored = subprocess.run(['git', 'check-ignore', *map(str, places), '.teacher.work/x'], cwd=ROOT, capture_output=True, text=True).stdout
    assert ignored.split() == [*map(str, places), '.teacher.work/x']
