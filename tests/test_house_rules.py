"What every notebook and module keeps, checked by machine so that review can be about ideas."
import ast, io, json, re, statistics, subprocess, sys, tokenize
from configparser import ConfigParser
from functools import cache
from importlib.metadata import PackageNotFoundError, files

import pytest

import exceptions
from exceptions import allowed
from notebooks import EXPORT, MODULES, NOTEBOOKS, ROOT, SOURCES, imported, text

TOP = {'nbs', 'dsdist', 'tests', 'settings.ini', 'setup.py', 'README.md', 'LICENSE'}
DEVELOPER_ONLY = {'fastcore', 'nbdev', 'execnb', 'IPython', 'ipykernel', 'ipywidgets', 'nbformat', 'nbclient', 'pytest', 'sphinx'}
GLOBAL_SEEDS = {'torch.manual_seed', 'torch.seed', 'torch.cuda.manual_seed', 'torch.cuda.manual_seed_all', 'np.random.seed', 'numpy.random.seed', 'random.seed'}
PICKLERS = {'pickle', '_pickle', 'dill', 'cloudpickle', 'shelve', 'joblib'}
LOADS = {'torch.load', 'torch.serialization.load'}   # with weights_only=True they run nothing
PICKLES = LOADS | {'torch.save', 'torch.serialization.save', 'torch.jit.load', 'numpy.load', 'numpy.save', 'pandas.read_pickle'}
LINES, MEDIAN, KILOBYTES = 45, 12, 300   # of an exported cell; of its code, over the notebook's exported cells; of a notebook
EXPORTED = 250                           # lines that a notebook exports; what grows past that is split
WIDTH, SHOWN_WIDTH = 100, 88             # columns of a line of code, and of one that a page shows
PARAMETERS, ASSIGNED = 12, 2             # of a function; names in one parallel assignment
# Words that a colleague would not say, and British spellings; in names, comments, sentences and prose
UNSAID = re.compile(r"""\b(?:graphics\ cards?|processors?|whoever|somebody|nobody)\b | (?<![a-z])distils?(?![a-z])
    | optimis(?!t|m) | normalis | quantis | initialis | regularis | colour | centr(?:es?(?![a-z])|ed|ing) | grey | neighbour | artefact | behaviour | favour | labell""", re.I | re.X)
# What may hold such a word: addresses, names that other libraries gave, results that are kept under their first name
SAID = re.compile(r"\]\([^)\s]*\)|\b\w+://\S+|platform\.processor|[\w/-]+\.(?:json|ipynb|png)\b|nbdev(?:'s |\.)processors")

exporting = pytest.mark.parametrize('nb', [nb for nb in NOTEBOOKS if nb.module], ids=str)
every = pytest.mark.parametrize('nb', NOTEBOOKS, ids=str)
module = pytest.mark.parametrize('name', sorted(SOURCES))

@cache
def parse(name): return ast.parse(SOURCES[name].read_text(encoding='utf-8'))
@cache
def nodes(name): return list(ast.walk(parse(name)))
def definitions(body): return [d for d in body if isinstance(d, (ast.FunctionDef, ast.ClassDef))]
def public(body): return [d for d in definitions(body) if not d.name.startswith('_')]
def loc(src): return len([l for l in src.splitlines() if l.strip() and not l.lstrip().startswith('#')])
def imports_only(src):
    "Imports, and after them perhaps how pictures look"
    body = [n for n in ast.parse(src).body if 'plt.rcParams' not in ast.unparse(n)]
    return bool(body) and {type(n) for n in body} <= {ast.Import, ast.ImportFrom}

def code_lines(src):
    "Lines on which a statement begins, docstrings aside: a long call that is broken into three counts as one"
    nodes = list(ast.walk(ast.parse(src)))
    docs = {d.body[0] for d in nodes if isinstance(d, (ast.FunctionDef, ast.ClassDef)) and ast.get_docstring(d) is not None}
    return len({n.lineno for n in nodes if isinstance(n, ast.stmt) and n not in docs})

def calls(nodes): return {ast.unparse(n.func) for n in nodes if isinstance(n, ast.Call)}

def origins(nodes):
    "What the imported names are, as dotted names"
    found = {}
    for n in nodes:
        if isinstance(n, ast.Import): found |= {a.asname or a.name.split('.')[0]: a.name if a.asname else a.name.split('.')[0] for a in n.names}
        elif isinstance(n, ast.ImportFrom) and not n.level: found |= {a.asname or a.name: f'{n.module}.{a.name}' for a in n.names}
    return found

def pickles(nodes):
    "Whatever reads or writes pickles, under any name, called or not; of `torch.load` calls all but those that say weights_only=True"
    nodes = list(nodes)
    known = origins(nodes)
    safe = {n.func for n in nodes if isinstance(n, ast.Call) and any(k.arg == 'weights_only' and getattr(k.value, 'value', None) is True for k in n.keywords)}
    for n in nodes:
        names = []
        if isinstance(n, (ast.Import, ast.ImportFrom)): names = [m for m, _ in imported([n])]
        if isinstance(n, ast.ImportFrom) and n.names[0].name == '*': names = [f'{n.module}.load']
        if isinstance(n, (ast.Name, ast.Attribute)):
            head, dot, rest = ast.unparse(n).partition('.')
            names = [known.get(head, head) + dot + rest]
        if isinstance(n, ast.Constant) and re.fullmatch(r'[\w.]+:\w+', str(n.value)): names = [n.value.replace(':', '.')]   # for `find_object`
        if isinstance(n, ast.Call) and re.search(r'\b(import_module|__import__|need)$', ast.unparse(n.func)): names = [a.value for a in n.args if isinstance(a, ast.Constant)]
        for name in names:
            if name in LOADS and n in safe: continue
            if name in PICKLES or str(name).split('.')[0] in PICKLERS: yield f"{name} in line {n.lineno}"

def parameters(f):
    a = f.args
    return [p for p in a.posonlyargs + a.args + a.kwonlyargs + [a.vararg, a.kwarg] if p and p.arg not in ('self', 'cls')]

def offered(name):
    "What a module lists in `__all__`"
    lists = [n.value for n in parse(name).body if isinstance(n, ast.Assign) and ast.unparse(n.targets[0]) == '__all__']
    return ast.literal_eval(lists[0]) if lists else []

@cache
def homes():
    "The modules that offer a public name, by name"
    where = {}
    for name in SOURCES:
        for n in offered(name): where.setdefault(n, []).append(name)
    return where

@cache
def settings_classes():
    "Names of all classes that derive from `Settings`, at any distance"
    bases = {d.name: set(map(ast.unparse, d.bases)) for name in SOURCES for d in parse(name).body if isinstance(d, ast.ClassDef)}
    kind = {'Settings'}
    while more := {c for c, b in bases.items() if b & kind} - kind: kind |= more
    return kind

def sayings(nb):
    "What a notebook says: its prose, and in its code the names, the comments, and the strings that are sentences"
    yield from map(text, nb.markdown)
    for c in nb.code: yield from (t.string for t in tokenize.generate_tokens(io.StringIO(text(c)).readline) if t.type in (tokenize.NAME, tokenize.COMMENT))
    yield from (n.value for n in nb.nodes if isinstance(n, ast.Constant) and isinstance(n.value, str) and ' ' in n.value)

def unsaid(src):
    src = SAID.sub('', src)
    return [src[max(0, m.start()-25):m.end()+25].replace('\n', ' ') for m in UNSAID.finditer(src)]


# --- the project ---

def test_top_level_holds_nothing_else():
    listed = subprocess.run(['git', 'ls-files', '--cached', '--others', '--exclude-standard'], cwd=ROOT, capture_output=True, text=True, check=True)
    top = {f.split('/')[0] for f in listed.stdout.splitlines()}
    assert not {f for f in top - TOP if not f.startswith('.')}
    assert TOP <= top


def test_no_module_without_a_notebook():
    assert set(SOURCES) == set(MODULES), f"stale: {set(SOURCES) - set(MODULES)}, not exported: {set(MODULES) - set(SOURCES)}"


def test_numbers_are_unique():
    numbers = [nb.number for nb in NOTEBOOKS if nb.module]
    assert not {n for n in numbers if numbers.count(n) > 1}


def test_public_names_are_unique():
    assert not {n: where for n, where in homes().items() if len(where) > 1}


def test_public_names_hide_no_module():
    "`dsdist.x` is the module x or the public name x, never both: which of them, would depend on what was imported before"
    top = {name.split('.')[0] for name in SOURCES}
    assert not top & homes().keys()


def test_exceptions_are_of_something():
    owners = {o for rule in exceptions.LISTED.values() for o in rule}
    assert not {o for o in owners if not exceptions.exists(o)}, "run pytest tests/test_house_rules.py --exceptions"


def files_of_ours(): return [p for folder in ('tests', 'nbs/_site') for p in sorted((ROOT/folder).glob('*.py'))] + [ROOT/'settings.ini', ROOT/'setup.py']


@pytest.mark.parametrize('path', [p.relative_to(ROOT).as_posix() for p in files_of_ours()])
def test_words_of_files(path):
    src = (ROOT/path).read_text(encoding='utf-8')
    if path == 'tests/test_house_rules.py': src = re.sub(r'^UNSAID = .*?^SAID = .*?$', '', src, flags=re.M | re.S)
    allowed('words', path, unsaid(src))


# --- each module ---

@cache
def modules(key):
    "Names of the modules that come with what settings.ini requires under `key`"
    cfg = ConfigParser(delimiters=['='])
    cfg.read(ROOT/'settings.ini', encoding='utf-8')
    names = set()
    for package in (re.split(r'[<>=!~\[]', r)[0] for r in cfg['DEFAULT'].get(key, '').split()):
        names.add(package)
        try: names |= {f.parts[0].removesuffix('.py') for f in files(package)}
        except PackageNotFoundError: pass   # an extra that is not installed: its module bears its name
    return names


@module
def test_imports_are_declared(name):
    "Everything imported is a requirement, in settings.ini; optional packages come in through need(package, extra)"
    required = modules('requirements')
    used = {m.split('.')[0] for m, _ in imported(nodes(name))} - set(sys.stdlib_module_names) - {'dsdist'}
    assert not used & DEVELOPER_ONLY and not {m for m in used if m.startswith('jupyter')}
    assert used <= required, used - required
    for n in nodes(name):
        if not (isinstance(n, ast.Call) and ast.unparse(n.func).split('.')[-1] == 'need' and len(n.args) == 2): continue
        if not all(isinstance(a, ast.Constant) for a in n.args): continue
        mod, extra = (a.value for a in n.args)
        assert mod.split('.')[0] in modules(f'{extra}_requirements'), f"{mod} is not in the extra {extra}"


@module
def test_syntax_of_the_oldest_python(name):
    "What a newer Python accepts and the oldest supported one does not, as far as it can be told from here"
    tree = ast.parse(SOURCES[name].read_text(encoding='utf-8'), feature_version=(3, 10))
    unpacked = [n for n in ast.walk(tree) if isinstance(n, ast.Subscript) and any(isinstance(e, ast.Starred) for e in getattr(n.slice, 'elts', []))]
    assert not unpacked, f"needs Python 3.11: {[ast.unparse(n) for n in unpacked]}"


@module
def test_device_blind_seeded_and_safe(name):
    used = calls(nodes(name))
    assert not [c for c in used if c.endswith('.cuda')], "move to a device with .to(device)"
    assert not used & GLOBAL_SEEDS, "derive a generator with dsdist.core.generator"
    assert not [*pickles(nodes(name))], "keep files as safetensors and JSON; a pickle of others is read with weights_only=True"
    assert not used & {'exit', 'sys.exit', 'quit'} or name == 'shell.app', "raise UserError"


@pytest.mark.parametrize('src', [
    'import torch; torch.load(f)', 'import torch; torch.load(f, weights_only=False)', 'import torch; torch.load(f, weights_only=safe)', 'import torch; torch.load(f, **how)',
    'import torch as t; t.load(f)', 'from torch import load; load(f)', 'from torch import load as read; read(f)', 'from torch import *', 'import torch; torch.save(x, f)',
    'from torch.serialization import load; load(f)', 'from torch.serialization import load as read; read(f, weights_only=0)', 'from torch.serialization import *', 'import torch; torch.serialization.load(f)',
    'import torch.serialization as s; s.load(f)', 'from torch import serialization as s; s.load(f)', 'import torch; read = torch.load; read(f)', 'import torch; read(f, how=torch.load, weights_only=True)',
    'import torch; torch.load(torch.load(f), weights_only=True)', 'import torch; torch.load.__call__(f)', "find_object('torch:load')(f)", "find_object('pickle:loads')(f)", "import_module('pickle')", "importlib.import_module('joblib')",
    "__import__('dill')", "need('cloudpickle', 'extra')", 'import numpy as np; np.load(f)', 'from numpy import save; save(f, x)', 'import pickle', 'from pickle import loads', 'import joblib.numpy_pickle', 'def f():\n    import shelve'])
def test_pickles_are_seen(src): assert [*pickles(ast.walk(ast.parse(src)))]


@pytest.mark.parametrize('src', ['import torch; torch.load(f, weights_only=True)', "from torch.serialization import load, safe_globals\nwith safe_globals([g]): load(f, map_location='cpu', weights_only=True)",
    'import torch as t; t.serialization.load(f, mmap=True, weights_only=True)', 'from safetensors.torch import load; load(f)', 'import json; json.load(f)', "find_object('distilled:DistilledSet').load(f)", "text = 'pickle'", 'load(f)'])
def test_what_is_no_pickle_passes(src): assert not [*pickles(ast.walk(ast.parse(src)))]


@module
def test_no_long_signatures(name):
    long = [f"{f.name}: {len(parameters(f))}" for f in nodes(name) if isinstance(f, ast.FunctionDef) and len(parameters(f)) > PARAMETERS]
    assert not long, f"more than {PARAMETERS} parameters, make a Settings class of them: {long}"


# --- each notebook that exports ---

@exporting
def test_module_is_named_after_its_notebook(nb):
    assert re.sub(r'(^|/)\d+_(?=[^/]*$)', r'\1', str(nb)).removesuffix('.ipynb').replace('/', '.') == nb.module


@exporting
def test_imports_point_to_lower_numbers(nb):
    for dep, node in imported(nb.nodes):
        names = [a.name for a in node.names] if dep == 'dsdist' and isinstance(node, ast.ImportFrom) else []
        for dep in [dep.removeprefix('dsdist.'), *(home for n in names for home in homes().get(n, []))]:
            if dep in MODULES: assert MODULES[dep].number < nb.number, f"{dep} has a higher number"


@exporting
def test_export_cells(nb):
    second, third = nb.cells[1:3]
    says_where = second is nb.code[0] and text(second).startswith('#| default_exp')
    assert says_where, "the second cell says where to export to"
    shows_imports = third in nb.shown and not EXPORT.search(text(third)) and imports_only(text(third))
    assert shows_imports, "the third cell shows what the examples import, and is not hidden"
    assert not re.search(rf'\bdsdist\.{re.escape(nb.module)}\b', text(third)), "a notebook does not import its own module"
    code = []
    for cell in nb.exported:
        src = text(cell)
        kinds = {isinstance(n, (ast.Import, ast.ImportFrom)) for n in ast.parse(src).body}
        assert len(kinds) < 2, f"imports in a cell of their own:\n{src}"
        assert len(src.splitlines()) <= LINES, f"{len(src.splitlines())} lines: split\n{src[:200]}"
        code.append(code_lines(src))
    assert statistics.median(code) <= MEDIAN, f"the median exported cell has {statistics.median(code)} lines of code"


@exporting
def test_told_and_tested(nb):
    code = '\n'.join(map(text, nb.code))
    words = sum(len(text(c).split()) for c in nb.markdown)
    lines = sum(map(loc, map(text, nb.exported)))
    assert words >= lines, f"{words} words of prose for {lines} exported lines"
    plain = '\n'.join(text(c) for c in nb.code if not EXPORT.search(text(c)))
    assert re.search(r'\btest_\w+\(|^assert ', plain, re.M), "no test"
    if re.search(r'^\s*(if .*: )?raise \w*Error', '\n'.join(map(text, nb.exported)), re.M):
        assert 'test_fail(' in plain or 'refused(' in plain, "an error is raised that no cell provokes"


@exporting
def test_exports_no_more_than_one_thing(nb):
    lines = [l for c in nb.exported for l in text(c).splitlines() if loc(l)]
    allowed('exported lines', nb, lines[EXPORTED:])


def is_setting(value):
    "`setting(default, 'meaning', ...)`, the meaning not empty"
    return isinstance(value, ast.Call) and ast.unparse(value.func) == 'setting' and len(value.args) == 2 and getattr(value.args[1], 'value', True) not in ('', None)


@exporting
def test_documented(nb):
    "A docstring for every public function, class and method; a comment for every parameter and for what is returned"
    for cell in nb.exported:
        lines = text(cell).splitlines()
        def comment_after(node): return '#' in lines[node.end_lineno-1][node.end_col_offset:]
        for d in public(ast.parse(text(cell)).body):
            assert ast.get_docstring(d), f"{d.name} has no docstring"
            f = d
            if isinstance(d, ast.ClassDef):
                for m in public(d.body):
                    inherited = m.name == 'agree' and d.name in settings_classes()
                    assert ast.get_docstring(m) or inherited, f"{d.name}.{m.name} has no docstring"
                if d.name in settings_classes():
                    for n in d.body:
                        if isinstance(n, ast.AnnAssign): assert is_setting(n.value), f"{d.name}.{n.target.id}: setting(default, 'meaning')"
                elif any('dataclass' in ast.unparse(x) for x in d.decorator_list):
                    fields = [n.target.id for n in d.body if isinstance(n, ast.AnnAssign) and not n.target.id.startswith('_')]
                    missing = [n for n in fields if f'`{n}`' not in ast.get_docstring(d)]
                    assert not missing, f"{d.name}: the docstring does not tell what {missing} are"
                f = next((m for m in definitions(d.body) if m.name == '__init__'), None)
            if f is None: continue
            for a in parameters(f): assert comment_after(a), f"{d.name}: say what `{a.arg}` is"
            gives = [n for n in ast.walk(f) if isinstance(n, ast.Return) and n.value is not None]
            nested = {n for m in ast.walk(f) if isinstance(m, (ast.FunctionDef, ast.Lambda)) and m is not f for n in ast.walk(m)}
            if f is d and ast.unparse(f.returns or f) != 'None' and [n for n in gives if n not in nested]:
                head = [l for l in lines[d.lineno-1:d.body[0].lineno-1] if l.strip()]
                assert '#' in head[-1], f"{d.name}: say what is returned"


# --- every notebook ---

@every
def test_begins_with_title_and_one_line(nb):
    assert re.fullmatch(r'# .+\n\n> .+', text(nb.cells[0]).strip()), "the first cell is '# Title', an empty line, '> one line'"


@every
def test_lines_fit(nb):
    wide = [l for c in nb.code for l in text(c).splitlines() if len(l) > WIDTH]
    allowed('wider than 100', nb, wide)
    allowed('wider than 88 on a page', nb, [l for c in nb.shown for l in text(c).splitlines() if SHOWN_WIDTH < len(l) <= WIDTH])


@every
def test_assignments_are_read_at_a_glance(nb):
    parallel = [n for n in nb.nodes if isinstance(n, ast.Assign) and isinstance(n.value, ast.Tuple)
                for t in n.targets if isinstance(t, ast.Tuple) and len(t.elts) > ASSIGNED]
    allowed('parallel assignments', nb, [ast.unparse(n) for n in parallel])


@every
def test_private_names_stay_at_home(nb):
    borrowed = [f'{dep}.{a.name}' for dep, node in imported(nb.nodes) if dep.split('.')[0] == 'dsdist' and isinstance(node, ast.ImportFrom)
                for a in node.names if a.name.startswith('_') and not a.name.startswith('__')]
    assert not borrowed


@every
def test_words(nb):
    allowed('words', nb, unsaid('\n'.join(sayings(nb))))


@every
def test_prose(nb):
    for cell in nb.markdown:
        src = re.sub(r'```.*?```|`[^`\n]*`', '', text(cell), flags=re.S)
        assert not re.search(r'\[@\w', src), "no [@cite]: write a link"
        for m in re.finditer(r'\$\$.*?\$\$', src, re.S):
            around = src[:m.start()].rstrip(' ').endswith('\n\n') or not src[:m.start()].strip(), src[m.end():].startswith('\n\n') or not src[m.end():].strip()
            assert all(around), f"a displayed equation is a paragraph of its own: {m[0][:60]}"


@every
def test_no_leftovers(nb):
    for cell in nb.cells: assert not re.search(r'\b(TODO|FIXME|XXX)\b', text(cell)), text(cell)[:200]
    used = calls(nb.nodes)
    assert not used & GLOBAL_SEEDS, "pass a generator"
    assert not [c for c in used if c.endswith('nbdev_export')], "python nbs/_site/build.py exports"


@every
def test_outputs(nb):
    "Small, without tracebacks, and the same on every machine"
    assert nb.path.stat().st_size < KILOBYTES*1000, f"over {KILOBYTES} kB: lower the dpi or show less"
    for cell in nb.code:
        for out in cell['outputs']:
            assert out['output_type'] != 'error' and out.get('name') != 'stderr'
            shown = json.dumps({k: v for k, v in out.get('data', {'text': out.get('text')}).items() if not k.startswith('image/png')})
            assert not re.search(r'(?<![\w.])/(work|tmp|root|home|Users|var/folders)/', shown), f"a path of one machine:\n{shown[:300]}"
            assert not re.search(r'\bat 0x[0-9a-f]{6,}', shown), f"an address in memory:\n{shown[:300]}"
            assert 'Traceback (most recent call last)' not in shown
