"What the tests share: the notebooks as data, and commands that must succeed."
import ast, json, re, subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
NBS, LIB = ROOT/'nbs', ROOT/'dsdist'
EXPORT = re.compile(r'^#\| *exports?\b', re.M)


def text(cell): return ''.join(cell['source'])


@dataclass
class Notebook:
    "One notebook: `cells`, of which `code`, of which `exported`; `module` is what it exports to, or None"
    path: Path
    cells: list = field(init=False)

    def __post_init__(self): self.cells = json.loads(self.path.read_text(encoding='utf-8'))['cells']
    def __str__(self): return self.path.relative_to(NBS).as_posix()
    @property
    def code(self): return [c for c in self.cells if c['cell_type'] == 'code']
    @property
    def markdown(self): return [c for c in self.cells if c['cell_type'] == 'markdown']
    @property
    def exported(self): return [c for c in self.code if EXPORT.search(text(c))]
    @property
    def module(self): return next((m[1] for c in self.code if (m := re.search(r'^#\| *default_exp +(\S+)', text(c), re.M))), None)
    @property
    def number(self): return int(m[0]) if (m := re.match(r'\d+', self.path.name)) else None


NOTEBOOKS = [Notebook(p) for p in sorted(NBS.rglob('*.ipynb')) if not any(part[0] in '_.' for part in p.relative_to(NBS).parts)]
MODULES = {nb.module: nb for nb in NOTEBOOKS if nb.module}
SOURCES = {'.'.join(p.relative_to(LIB).with_suffix('').parts): p for p in sorted(LIB.rglob('*.py')) if p.name not in ('__init__.py', '_modidx.py')}


def imported(tree):
    "Every module that `tree` imports, at any depth, as (absolute dotted name, node)"
    for n in ast.walk(tree):
        if isinstance(n, ast.Import): yield from ((a.name, n) for a in n.names)
        elif isinstance(n, ast.ImportFrom) and not n.level: yield n.module, n


def succeed(command, **kwargs):
    "Run a command, for half an hour at most; its standard output. When it fails, the test fails with what it said"
    done = subprocess.run(command, capture_output=True, text=True, encoding='utf-8', timeout=1800, **kwargs)
    if done.returncode: pytest.fail(f"exit code {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-6000:]}", pytrace=False)
    return done.stdout
