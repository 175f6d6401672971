"README.md is made from nbs/index.ipynb, its example runs as it stands, and it knows every notebook."
import re, sys

from notebooks import NOTEBOOKS, ROOT, succeed

README = (ROOT/'README.md').read_text(encoding='utf-8')


def test_fresh(quiet):
    succeed([sys.executable, 'nbs/_site/build.py', '--check'], cwd=ROOT, env=quiet)


def test_commands():
    assert '\npip install . && dsdist demo\n' in README
    assert "\npip install -e '.[dev]' && python -m pytest\n" in README


def test_links_into_the_checkout_lead_somewhere():
    targets = [t.split('#')[0] for t in re.findall(r'\]\(([^)\s]+)\)', README) if not re.match(r'#|\w+:', t)]
    assert any(t.endswith('.png') for t in targets), "show a picture of a distilled set"
    assert not [t for t in targets if not (ROOT/t).exists()]


def test_teaches_every_notebook():
    assert not [str(nb) for nb in NOTEBOOKS if str(nb) != 'index.ipynb' and f'](nbs/{nb})' not in README]


def test_example_runs(quiet, tmp_path):
    examples = re.findall(r'^```python\n(.*?)^```', README, re.M | re.S)
    assert examples, "a Python example of about ten lines"
    script = '\n'.join(examples)
    assert len([l for l in script.splitlines() if l.strip()]) <= 14
    assert succeed([sys.executable, '-c', script], cwd=tmp_path, env=quiet).strip(), "the example shows nothing"
