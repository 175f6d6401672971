"What nbdev makes of a notebook for a website: API entries, links, hidden cells gone. A module of its own, so that worker processes can import it."
import ast, importlib, inspect, json, os, sys
from pathlib import Path

from fastcore import docments
from fastcore.parallel import parallel
from nbdev import serve_drv
from nbdev.processors import FilterDefaults

HEAVY = ['torch', 'torchvision', 'matplotlib.pyplot', 'scipy.optimize', 'sklearn.cluster', 'ot']   # most notebooks import these


def signature(f, eval_str=False):
    "The signature of `f`; annotations stay text where they name what a function imports only when it is called, such as 'torch.Generator'"
    try: return inspect.signature(f, eval_str=eval_str)
    except NameError: return inspect.signature(f)

docments.signature = signature


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
    """Run nbdev's processors over `notebooks`, in processes of their own; the results by path under `nbs`.

    Where it is safe, that is on Linux, they are forks of this one and find what is heavy imported already; this one computes nothing."""
    todo = []
    for nb in notebooks:
        out = dest/nb.relative_to(nbs)
        out.parent.mkdir(parents=True, exist_ok=True)
        todo.append((nb, out, Page))
    forks, workers = sys.platform == 'linux', min(len(todo), os.cpu_count(), 8)
    if forks and workers > 1:
        for name in HEAVY: importlib.import_module(name)
    parallel(serve_drv.main, todo, n_workers=workers, method='fork' if forks else 'spawn')
    return {out.relative_to(dest): json.loads(out.read_text(encoding='utf-8')) for _, out, _ in todo}
