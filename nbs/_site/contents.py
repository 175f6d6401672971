"What there is, read from the notebooks and the registry: notebooks in their sections, and the methods. A new one needs no edit here."
import json, os, re
from pathlib import Path

from nbdev.config import get_config
from nbdev.doclinks import nbglob

ROOMS = {'ot': 'Optimal transport'}               # rooms that are not called what their folder is called
OUTSIDE = {0: 'Foundations', 90: 'Application'}   # notebooks outside the rooms, by their lowest number
LINK = re.compile(r'\[([^\]\n]*)\]\(([^)\s]+)\)')

def doc_name(path): return path.with_name(re.sub(r'^\d+[a-zA-Z0-9]*_', '', path.name.lower()))
def number(path): return int(re.match(r'\d+', path.name)[0])

def section(path):
    "The part of the sidebar that a notebook belongs to"
    if len(path.parts) > 1: return ROOMS.get(path.parts[0], path.parts[0].capitalize())
    return OUTSIDE[max(n for n in OUTSIDE if n <= number(path))]

def sections():
    "The notebooks but for the index, by section: tutorials first, then in the order of their numbers"
    nbs, found = get_config().nbs_path, {}
    paths = [p.relative_to(nbs) for p in nbglob(nbs, as_path=True) if p.name != 'index.ipynb']
    for p in sorted(paths, key=lambda p: (p.parts[0] != 'tutorials', number(p), p)): found.setdefault(section(p), []).append(p)
    return found

def title_and_line(path):
    "What the first cell of a notebook says"
    cells = json.loads((get_config().nbs_path/path).read_text(encoding='utf-8'))['cells']
    return re.fullmatch(r'# (.+)\n\n> (.+)', ''.join(cells[0]['source']).strip()).groups()

def _table(head, rows):
    rows = [head, ['---']*len(head), *([c.replace('|', '\\|') for c in r] for r in rows)]
    return '\n'.join(f"| {' | '.join(r)} |" for r in rows)

def notebook_table():
    "Every notebook with its title and its one line; links lead from the index"
    def row(path):
        title, line = title_and_line(path)
        def from_index(m): return m[0] if re.match(r'#|/|\w+:', m[2]) else f'[{m[1]}]({os.path.normpath(path.parent/m[2])})'
        return f'[{title}]({path.as_posix()})', LINK.sub(from_index, line)
    return '\n\n'.join(f"### {name}\n\n{_table(('Notebook', 'What it teaches'), map(row, paths))}" for name, paths in sections().items())

def method_table():
    "Every method of the registry with what it does and its paper"
    from dsdist.methods import METHODS
    pages = {doc_name(p).with_suffix('').as_posix().replace('/', '.'): p for paths in sections().values() for p in paths}
    def row(name, m):
        page = pages.get(m.function.split(':')[0])
        paper = re.sub(r'arXiv (\d{4}\.\d{4,5})', r'[arXiv \1](https://arxiv.org/abs/\1)', m.paper)
        return f'[`{name}`]({page.as_posix()})' if page else f'`{name}`', m.summary, paper
    return _table(('Method', 'What it does', 'Paper'), (row(n, m) for n, m in METHODS.items()))

def filled(src):
    "Markdown with the tables in the place of `<!-- notebooks -->` and `<!-- methods -->`"
    for mark, table in (('<!-- notebooks -->', notebook_table), ('<!-- methods -->', method_table)):
        if mark in src: src = src.replace(mark, table())
    return src
