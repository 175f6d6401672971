"README.md is made from nbs/index.ipynb, where its example runs, and it knows every notebook."
import re, sys

from notebooks import NOTEBOOKS, ROOT, succeed, text

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


def test_example_is_what_the_index_runs():
    "test_notebooks runs the index: nothing in README is untested, and nothing runs that it does not show"
    index = next(nb for nb in NOTEBOOKS if str(nb) == 'index.ipynb')
    examples = re.findall(r'^```python\n(.*?)\n```$', README, re.M | re.S)
    assert examples and examples == [text(c).strip() for c in index.code]
    assert len([l for l in '\n'.join(examples).splitlines() if l.strip()]) <= 14, "about ten lines"
    assert index.code[-1]['outputs'], "the example shows nothing"
