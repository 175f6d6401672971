"The website: one page a notebook, every equation, picture and API entry where it should be."
import re

import pytest
import yaml

import browser
from notebooks import NBS, NOTEBOOKS, SOURCES, text


def page(nb): return re.sub(r'(^|/)\d+\w*?_(?=[^/]*$)', r'\1', str(nb)).replace('.ipynb', '.html').lower()


def public_names(nb):
    source = SOURCES[nb.module].read_text(encoding='utf-8')
    return [n for n in re.findall(r'^(?:def|class) (\w+)', source, re.M) if not n.startswith('_')]


def test_sidebar_lists_every_notebook_once():
    items = yaml.safe_load((NBS/'sidebar.yml').read_text(encoding='utf-8'))['website']['sidebar']['contents']
    listed = [f for i in items for f in ([i] if isinstance(i, str) else i['contents'])]
    assert sorted(listed) == sorted(map(str, NOTEBOOKS))


def test_quarto_settings_agree_with_settings_ini():
    from nbdev.config import get_config
    from nbdev.quarto import _nbdev_yml
    cfg = get_config()
    keys = ['title', 'description', 'branch', 'git_url', 'doc_host', 'doc_baseurl']
    assert (NBS/'nbdev.yml').read_text(encoding='utf-8') == _nbdev_yml.format(doc_path=cfg.doc_path.name, **{k: cfg[k] for k in keys})
    quarto = yaml.safe_load((NBS/'_quarto.yml').read_text(encoding='utf-8'))
    assert quarto['metadata-files'] == ['nbdev.yml', 'sidebar.yml'] and quarto['project']['type'] == 'website'


def test_builds_without_warnings(site_build):
    site, wrong = site_build
    if wrong: pytest.fail(wrong, pytrace=False)
    assert (site/'index.html').exists() and (site/'search.html').exists()
    assert 'generator' in (site/'searchindex.js').read_text(encoding='utf-8')


@pytest.mark.parametrize('nb', NOTEBOOKS, ids=str)
def test_page(nb, site):
    "In a browser: equations rendered, pictures loaded, an entry for each public name, nothing from elsewhere, nothing cut off"
    if not browser.browser(): pytest.skip('no chromium, chromium-browser or google-chrome is installed')
    seen = browser.look(site, page(nb))
    prose = re.sub(r'```.*?```|`[^`\n]*`', '', '\n\n'.join(map(text, nb.markdown)), flags=re.S)
    display = len(re.findall(r'\$\$.+?\$\$', prose, re.S))
    browser.check(seen, equations=display)
    assert text(nb.cells[0]).splitlines()[0].lstrip('# ').replace('`', '') in seen['text']
    if nb.module: assert {n.lower() for n in public_names(nb)} <= set(seen['ids'])
