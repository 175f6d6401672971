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


def test_sidebar_lists_every_notebook_once(site):
    "Tutorials first, then by their numbers, each room under its name"
    html = (site/'index.html').read_text(encoding='utf-8')
    sidebar = html[html.index('class="sidebar-tree"'):html.index('</aside>')]
    listed = re.findall(r'href="([^"#]+\.html)"', sidebar)
    wanted = [nb for nb in NOTEBOOKS if str(nb) != 'index.ipynb']
    assert sorted(listed) == sorted(map(page, wanted))
    for part in re.split('class="caption"', sidebar)[1:]:
        numbers = [nb.number for f in re.findall(r'href="([^"#]+\.html)"', part) for nb in wanted if page(nb) == f]
        assert numbers == sorted(numbers)
    captions = re.findall(r'class="caption-text">([^<]+)<', sidebar)
    assert len(captions) == len(set(captions)) and captions.index('Tutorials') == 0


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
    assert seen['wider_than_telephone'] <= 0, f"{seen['wider_than_telephone']} pixels wider than a telephone"
    assert text(nb.cells[0]).splitlines()[0].lstrip('# ').replace('`', '') in seen['text']
    if not nb.module: return
    assert {n.lower() for n in public_names(nb)} <= set(seen['ids'])
    door = 'from dsdist import ' if public_names(nb) else ''
    assert re.match('(import|from) ', seen['first_code']) and seen['first_code'].startswith(door), "a page begins with what to import"
