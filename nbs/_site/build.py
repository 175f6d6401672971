"""The package (dsdist/), README.md and the website (_docs/), made from the notebooks by nbdev and Sphinx; Quarto is not needed.

python nbs/_site/build.py            all three
python nbs/_site/build.py --export   the package only
python nbs/_site/build.py --readme   README.md only
python nbs/_site/build.py --site     the website only
python nbs/_site/build.py --check    fail when README.md is out of date

nbdev adds the API entries and the links (pages.py); this file turns its pages, written for Quarto, into pages for Sphinx.
For the website nothing is executed but imports and exported cells: pictures and numbers are those stored in the notebooks.
"""
import argparse, ast, json, os, re, shutil, subprocess, sys, tempfile, textwrap
from importlib.metadata import entry_points
from pathlib import Path

import yaml
from nbdev.config import get_config
from nbdev.doclinks import nbglob

from contents import LINK, doc_name, filled, sections
from export import export, public_names
from pages import processed

ROOT, HERE = Path(__file__).resolve().parents[2], Path(__file__).resolve().parent
NBS, SRC, DOCS, README = ROOT/'nbs', ROOT/'_docsrc', ROOT/'_docs', ROOT/'README.md'
WIDTH = 88   # columns of code that a page shows
QUARTO_ATTRS = re.compile(r'\{target="_blank"[^}]*\}')
SYMBOL_HEAD = re.compile(r'^(#{2,6}) ([\w.]+)$', re.M)

def text(x): return x if isinstance(x, str) else ''.join(x)
def md(src, cid): return dict(cell_type='markdown', id=cid, metadata={}, source=src)
def label(page, symbol): return f"{page.with_suffix('').as_posix().replace('/', '.')}:{symbol.lower()}"


# --- Sphinx's half ------------------------------------------------------------------------------------------------------

def entries(pages):
    "Labels of all API entries, to know which links have a target of their own"
    return {label(p, m[1]) for p, nb in pages.items() for c in nb['cells'] for m in re.finditer(r'^show_doc[(]([\w.]+)', text(c['source']), re.M)}

def relinker(known):
    "Links to this site and to other notebooks become links that Sphinx can check; what has no entry is linked to its class, or not at all"
    site = f"{get_config().doc_host}{get_config().doc_baseurl}/"
    def relink(src, here):
        def sub(m):
            words, url = m.groups()
            page, _, anchor = url.removeprefix(site).partition('#')
            if url.startswith(site) and anchor:
                symbol = anchor if label(Path(page), anchor) in known else anchor.split('.')[0]
                return f"[{words}](#{label(Path(page), symbol)})" if label(Path(page), symbol) in known else words
            if url.startswith(site): return f"[{words}]({os.path.relpath(page, here.parent).replace('.html', '.ipynb')})"
            if page.endswith('.ipynb') and ':' not in page: return f"[{words}]({doc_name(Path(page)).as_posix()})"
            return m[0]
        return LINK.sub(sub, src)
    return relink

def import_line(here):
    "How the public names of a page's module are imported; '' when it has none"
    path = get_config().lib_path/here.with_suffix('.py')
    names = public_names(path.read_text(encoding='utf-8')) if path.exists() else []
    line = f"from dsdist import {', '.join(names)}"
    if len(line) > WIDTH: line = '\n'.join(textwrap.wrap(f"from dsdist import ({', '.join(names)})", WIDTH, subsequent_indent=' '*len('from dsdist import (')))
    return line if names else ''

def code(src, cid, outputs=(), tags=()): return dict(cell_type='code', id=cid, source=src, outputs=list(outputs), execution_count=None, metadata=dict(tags=list(tags)))

def brief(src):
    "Exported source without the docstrings that its API entries show already"
    src = re.sub(r'^#\|.*\n?', '', src, flags=re.M).strip('\n')
    lines = src.split('\n')
    for d in reversed(ast.parse(src).body):
        if not isinstance(d, (ast.FunctionDef, ast.ClassDef)) or ast.get_docstring(d) is None: continue
        doc = d.body[0]
        lines[doc.lineno-1:doc.end_lineno] = [' '*doc.col_offset + '...'] if len(d.body) == 1 else []
    return '\n'.join(lines)

def symbol_md(out, here, level, relink, source_follows, taken):
    """Markdown that `show_doc` printed, as a section with a stable anchor; the signature only where no source follows.

    `taken`: labels of this page so far. Case does not count in them: of `Method` and `method` the first can be linked to."""
    src = QUARTO_ATTRS.sub('', text(out['data']['text/markdown'])).removeprefix('---\n\n')
    link = re.match(r'\[source\]\(([^)]*)\)\n\n', src)
    if link: src = src[link.end():]
    if source_follows: src = re.sub(r'^```python\n.*?^```\n', '', src, count=1, flags=re.M | re.S)
    def head(m):
        anchor = f' id="{m[2].lower()}"' if '.' in m[2] else ''   # undotted names are the heading's own anchor
        source = f'<a class="source" href="{link[1]}">source</a>' if link else ''
        name = label(here, m[2])
        target = '' if name in taken else f'({name})=\n'
        taken.add(name)
        return f"{target}{'#'*level} `{m[2]}`\n\n<a class=\"api\"{anchor}></a>{source}"
    return relink(SYMBOL_HEAD.sub(head, src, count=1), here)

def sources_last(cells):
    "Each exported source after the API entries of all that it defines"
    held, defined = None, ()
    for c in cells:
        src = text(c.get('source', ''))
        entry = re.search(r'^show_doc[(](\w+)', src, re.M) if 'has_sd' in c else None
        if held and not (entry and entry[1] in defined):
            yield held
            held = None
        if '#| code-fold' in src: held, defined = c, re.findall(r'^(?:def|class) (\w+)', src, re.M)
        else: yield c
    if held: yield held

def convert(nb, here, relink):
    "A page of nbdev's as a notebook for MyST-NB"
    cells, level, taken = [], 1, set()   # level: depth of the last heading written by hand
    for c in sources_last(nb['cells']):
        src, cid = text(c.get('source', '')), c.get('id') or f'c{len(cells)}'
        if c['cell_type'] == 'raw' and src.startswith('---'):
            front = yaml.safe_load(src.strip().removeprefix('---').removesuffix('---'))
            src = f"# {front.get('title', here.stem)}\n\n" + (f"*{front['description']}*\n" if 'description' in front else '')
            cells.append(md(src, cid))
            if line := import_line(here): cells.append(code(line, 'import'))
            continue
        if c['cell_type'] == 'markdown':
            if src.startswith('<!-- WARNING'): continue
            if here == Path('index.ipynb'): src = filled(src)
            heads = re.findall(r'^(#{1,6}) ', re.sub(r'```.*?```', '', src, flags=re.S), re.M)
            if heads: level = len(heads[-1])
            cells.append(md(relink(src, here), cid)); continue
        if c['cell_type'] != 'code': continue
        options = dict(re.findall(r'^#\| *([\w-]+): *(.*)$', src, re.M))
        outs = c.get('outputs', [])
        if re.search(r'^show_doc\(', src, re.M):
            cells += [md(symbol_md(o, here, level+1, relink, 'has_sd' in c, taken), f'{cid}{i}')
                      for i, o in enumerate(outs) if 'text/markdown' in o.get('data', {})]
            continue
        tags = [t for k, t in dict(echo='remove-input', output='remove-output').items() if options.get(k) == 'false']
        if 'code-fold' in options: src = brief(src)
        src = re.sub(r'^#\|.*\n?', '', src, flags=re.M).strip()
        if src or outs: cells.append(code(src, cid, outs, tags))
    kernel = dict(kernelspec=dict(name='python3', display_name='python3', language='python'))
    return dict(nb, cells=cells, nbformat=4, nbformat_minor=5, metadata=kernel)

def toctrees():
    "The sidebar: a toctree of Sphinx for each section"
    def toctree(name, paths): return ['```{toctree}', ':hidden:', f':caption: {name}', '', *(doc_name(p).with_suffix('').as_posix() for p in paths), '```', '']
    return '\n'.join(line for name, paths in sections().items() for line in toctree(name, paths))

def build_site(pages):
    "_docsrc/ and, from it, _docs/; any warning of Sphinx is an error"
    for folder in (SRC, DOCS): shutil.rmtree(folder, ignore_errors=True)
    pages = {doc_name(p): nb for p, nb in pages.items()}
    relink = relinker(entries(pages))
    for here, nb in pages.items():
        nb = convert(nb, here, relink)
        if here == Path('index.ipynb'): nb['cells'].append(md(toctrees(), 'toctree'))
        (SRC/here).parent.mkdir(parents=True, exist_ok=True)
        (SRC/here).write_text(json.dumps(nb, indent=1), encoding='utf-8')
    for f in nbglob(NBS, file_glob='*.*', as_path=True):
        if f.suffix not in ('.ipynb', '.yml'):
            (SRC/f.relative_to(NBS)).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(f, SRC/f.relative_to(NBS))
    rc = subprocess.call([sys.executable, '-m', 'sphinx', '-n', '-W', '--keep-going', '-q', '-b', 'html',
                            '-c', str(HERE), '-d', str(SRC/'.doctrees'), str(SRC), str(DOCS)])
    shutil.rmtree(ROOT/'jupyter_execute', ignore_errors=True)   # myst-nb's empty work folder
    return rc


# --- README.md ----------------------------------------------------------------------------------------------------------

def readme(index):
    "README.md made from the processed index notebook: prose, code, text outputs; links to notebooks and pictures lead into nbs/"
    def from_top(src, here):
        return LINK.sub(lambda m: m[0] if re.match(r'#|/|\w+:', m[2]) else f"[{m[1]}](nbs/{m[2]})", src)
    parts = ['<!-- Made from nbs/index.ipynb by nbs/_site/build.py: edit the notebook. -->']
    for c in convert(index, Path('index.ipynb'), from_top)['cells']:
        if c['cell_type'] == 'markdown': parts.append(c['source'].rstrip()); continue
        if c['source'] and 'remove-input' not in c['metadata']['tags']: parts.append(f"```python\n{c['source']}\n```")
        for o in c['outputs']:
            data = o.get('data', {})
            shown = text(o.get('text') or data.get('text/markdown') or data.get('text/plain', '')).rstrip()
            if 'text/markdown' in data: parts.append(shown)
            elif shown and 'image/png' not in data: parts.append(textwrap.indent(shown, '    '))
    return '\n\n'.join(parts) + '\n'


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    only = p.add_mutually_exclusive_group()
    for name in ('export', 'readme', 'site', 'check'): only.add_argument(f'--{name}', action='store_true')
    a = p.parse_args()
    os.chdir(ROOT)
    if not entry_points(group='nbdev', name=get_config().lib_name):
        sys.exit("install the package first, nbdev finds what to link to through it: pip install -e '.[dev]'")
    sys.path.insert(0, str(ROOT))
    everything = not (a.readme or a.site or a.check)
    if a.export or everything: export()
    if a.export: return
    index = NBS/'index.ipynb'
    with tempfile.TemporaryDirectory() as tmp:
        pages = processed([index] if a.readme or a.check else nbglob(NBS, as_path=True), NBS, Path(tmp))
    if not a.site:
        new = readme(pages[Path('index.ipynb')])
        if a.check: sys.exit(0 if README.exists() and README.read_text(encoding='utf-8') == new
                             else 'README.md is out of date: run python nbs/_site/build.py --readme')
        README.write_text(new, encoding='utf-8')
    if not a.readme: sys.exit(build_site(pages))

if __name__ == '__main__': main()
