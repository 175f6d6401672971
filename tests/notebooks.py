"What the tests share: the notebooks as data, the pool that runs them, and commands that must succeed."
import ast, json, os, re, subprocess, sys
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from threading import Thread

import pytest

ROOT = Path(__file__).resolve().parent.parent
NBS, LIB = ROOT/'nbs', ROOT/'dsdist'
EXPORT = re.compile(r'^#\| *exports?\b', re.M)
REFERENCE = .25   # CPU seconds that `speed` of runner.py takes on a core of an AMD EPYC with AVX2


def text(cell): return ''.join(cell['source'])


@dataclass
class Notebook:
    "One notebook: `cells`, of which `code`, of which `exported`; `module` is what it exports to, or None"
    path: Path
    cells: list = field(init=False)

    def __post_init__(self): self.cells = json.loads(self.path.read_text(encoding='utf-8'))['cells']
    def __str__(self): return self.path.relative_to(NBS).as_posix()
    @cached_property
    def code(self): return [c for c in self.cells if c['cell_type'] == 'code']
    @cached_property
    def markdown(self): return [c for c in self.cells if c['cell_type'] == 'markdown']
    @cached_property
    def exported(self): return [c for c in self.code if EXPORT.search(text(c))]
    @cached_property
    def shown(self): return [c for c in self.code if shown(c)]
    @cached_property
    def nodes(self): return [n for c in self.code for n in ast.walk(ast.parse(text(c)))]
    @cached_property
    def module(self): return next((m[1] for c in self.code if (m := re.search(r'^#\| *default_exp +(\S+)', text(c), re.M))), None)
    @cached_property
    def number(self): return int(m[0]) if (m := re.match(r'\d+', self.path.name)) else None


def shown(cell):
    "Whether a page of the website shows the source of a code cell: exported imports and constants it does not show"
    src = text(cell)
    if re.search(r'^#\| *(hide|default_exp|exporti|echo: *false|include: *false)\b', src, re.M): return False
    return not EXPORT.search(src) or any(isinstance(n, (ast.FunctionDef, ast.ClassDef)) for n in ast.parse(src).body)


NOTEBOOKS = [Notebook(p) for p in sorted(NBS.rglob('*.ipynb')) if not any(part[0] in '_.' for part in p.relative_to(NBS).parts)]
MODULES = {nb.module: nb for nb in NOTEBOOKS if nb.module}
SOURCES = {'.'.join(p.relative_to(LIB).with_suffix('').parts): p for p in sorted(LIB.rglob('*.py'))
           if p.name != '_modidx.py' and (p.name != '__init__.py' or p.parent == LIB)}
def package_files(folder): return {p.relative_to(folder).as_posix() for kind in ('*.py', '*.pyi', 'py.typed') for p in folder.rglob(kind)}
PACKAGE = package_files(LIB)
# of a notebook or a command under test: no bars, no display, kernels interpreted, one thread for nets this small; pyarrow's allocator
# starts no thread, since `runner.py` forks after scikit-learn has imported pandas, and pandas pyarrow
QUIET = dict(OMP_NUM_THREADS='1', TQDM_DISABLE='1', TRITON_INTERPRET='1', MPLBACKEND='Agg', PYTHONUTF8='1',
             JE_ARROW_MALLOC_CONF='background_thread:false')


def imported(nodes):
    "Every module that is imported, at any depth, as (absolute dotted name, node)"
    for n in nodes:
        if isinstance(n, ast.Import): yield from ((a.name, n) for a in n.names)
        elif isinstance(n, ast.ImportFrom) and not n.level: yield n.module, n


def succeed(command, **kwargs):
    "Run a command, for half an hour at most; its standard output. When it fails, the test fails with what it said"
    done = subprocess.run(command, capture_output=True, text=True, encoding='utf-8', timeout=1800, **kwargs)
    if done.returncode: pytest.fail(f"exit code {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-6000:]}", pytrace=False)
    return done.stdout


class Pool:
    "The notebooks `names`, run by runner.py in this order while other tests go on; `result(name)` waits for one"
    def __init__(self, names):
        self.done, self.said = {name: Future() for name in ['speed', *names]}, []
        command = [sys.executable, str(ROOT/'tests'/'runner.py'), *(f'nbs/{name}' for name in names)]
        self.process = subprocess.Popen(command, env={**os.environ, **QUIET}, text=True, encoding='utf-8', start_new_session=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        Thread(target=self._listen, daemon=True).start()

    def _listen(self):
        for line in self.process.stdout:
            if not line.startswith('{"job": '): self.said.append(line); continue
            r = json.loads(line)
            self.done[r['job'].removeprefix('nbs/')].set_result(r)
        for f in self.done.values():
            if not f.done(): f.set_result(dict(ok=False, cpu=0, log=f"tests/runner.py ended too early:\n{''.join(self.said)}"))

    def result(self, name): return self.done[name].result()

    def slowness(self):
        "How many times longer than on the machine of the limits a computation takes here; 1 on a faster one"
        r = self.result('speed')
        return max(1, float(r['log'])/REFERENCE) if r['ok'] else 1

    def seconds(self):
        "CPU seconds of each notebook that is done and went well"
        done = {name: f.result() for name, f in self.done.items() if name != 'speed' and f.done()}
        return {name: r['cpu'] for name, r in done.items() if r['ok']}

    def close(self):
        "End what still runs"
        self.process.stdin.close()
        self.process.wait()
