"What nbdev makes of a notebook for a website: API entries, links, hidden cells gone. A module of its own, so that worker processes can import it."
import ast, json, os
from pathlib import Path

from fastcore.parallel import parallel
from nbdev import serve_drv
from nbdev.processors import FilterDefaults


def keep_source(cell):
    "An exported definition stays on the page, under its API entry; exported imports and constants go, as in nbdev"
    if 'export' in cell.directives_ and any(isinstance(n, (ast.FunctionDef, ast.ClassDef)) for n in ast.parse(cell.source).body):
        cell.directives_['exports'] = cell.directives_.pop('export')


def run_exports_only(cell):
    "API entries need the exported cells; nbdev would run every cell that imports something, too"
    if not cell.directives_.keys() & {'export', 'exports'} and 'show_doc(' not in cell.source: cell.directives_['eval:'] = ['false']


class Page(FilterDefaults):
    "What nbdev does to a notebook for its website, after these two"
    def base_procs(self): return [keep_source, run_exports_only] + super().base_procs()


def processed(notebooks, nbs, dest):
    "Run nbdev's processors over `notebooks`, in processes of their own; the results by path under `nbs`"
    todo = []
    for nb in notebooks:
        out = dest/nb.relative_to(nbs)
        out.parent.mkdir(parents=True, exist_ok=True)
        todo.append((nb, out, Page))
    parallel(serve_drv.main, todo, n_workers=min(len(todo), os.cpu_count(), 8), method='spawn')
    return {out.relative_to(dest): json.loads(out.read_text(encoding='utf-8')) for _, out, _ in todo}
