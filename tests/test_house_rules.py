"What every notebook and module keeps, checked by machine so that review can be about ideas."
import ast, json, re, statistics, subprocess, sys
from configparser import ConfigParser
from importlib.metadata import PackageNotFoundError, files

import pytest

from notebooks import EXPORT, MODULES, NOTEBOOKS, ROOT, SOURCES, imported, text

TOP = {'nbs', 'dsdist', 'tests', 'settings.ini', 'setup.py', 'README.md', 'LICENSE'}
DEVELOPER_ONLY = {'fastcore', 'nbdev', 'execnb', 'IPython', 'ipykernel', 'ipywidgets', 'nbformat', 'nbclient', 'pytest', 'sphinx'}
GLOBAL_SEEDS = {'torch.manual_seed', 'torch.seed', 'torch.cuda.manual_seed', 'torch.cuda.manual_seed_all', 'np.random.seed', 'numpy.random.seed', 'random.seed'}
PICKLES = {'torch.load', 'torch.save', 'np.load', 'numpy.load', 'np.save', 'numpy.save', 'joblib.load', 'joblib.dump'}
LINES, MEDIAN, KILOBYTES = 45, 12, 300   # of an exported cell; of its code, over the notebook's exported cells; of a notebook

exporting = pytest.mark.parametrize('nb', [nb for nb in NOTEBOOKS if nb.module], ids=str)
every = pytest.mark.parametrize('nb', NOTEBOOKS, ids=str)
module = pytest.mark.parametrize('name', sorted(SOURCES))

def parse(name): return ast.parse(SOURCES[name].read_text(encoding='utf-8'))
def definitions(body): return [d for d in body if isinstance(d, (ast.FunctionDef, ast.ClassDef))]
def public(body): return [d for d in definitions(body) if not d.name.startswith('_')]
def loc(src): return len([l for l in src.splitlines() if l.strip() and not l.lstrip().startswith('#')])
def code_lines(src):
    "Lines of code alone: without comments, docstrings, and the lines of a signature after its first"
    lines = {i for i, l in enumerate(src.splitlines(), 1) if l.strip() and not l.lstrip().startswith('#')}
    for d in (n for n in ast.walk(ast.parse(src)) if isinstance(n, (ast.FunctionDef, ast.ClassDef))):
        first = d.body[0]
        lines -= set(range(d.lineno+1, first.lineno))
        if ast.get_docstring(d) is not None: lines -= set(range(first.lineno, first.end_lineno+1))
    return len(lines)

def calls(tree): return {ast.unparse(n.func) for n in ast.walk(tree) if isinstance(n, ast.Call)}


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
    owners = {}
    for name in SOURCES:
        for d in public(parse(name).body): owners.setdefault(d.name, []).append(name)
    assert not {n: o for n, o in owners.items() if len(o) > 1}


# --- each module ---

@module
def test_imports_are_declared(name):
    "Everything imported is a requirement, in settings.ini; optional packages come in through need(package, extra)"
    cfg = ConfigParser(delimiters=['='])
    cfg.read(ROOT/'settings.ini', encoding='utf-8')
    cfg = cfg['DEFAULT']
    def modules(key):
        for package in (re.split(r'[<>=!~\[]', r)[0] for r in cfg.get(key, '').split()):
            yield package
            try: yield from {f.parts[0].removesuffix('.py') for f in files(package)}
            except PackageNotFoundError: pass   # an extra that is not installed: its module bears its name
    tree, required = parse(name), set(modules('requirements'))
    used = {m.split('.')[0] for m, _ in imported(tree)} - set(sys.stdlib_module_names) - {'dsdist'}
    assert not used & DEVELOPER_ONLY and not {m for m in used if m.startswith('jupyter')}
    assert used <= required, used - required
    for n in ast.walk(tree):
        if not (isinstance(n, ast.Call) and ast.unparse(n.func).split('.')[-1] == 'need' and len(n.args) == 2): continue
        if not all(isinstance(a, ast.Constant) for a in n.args): continue
        mod, extra = (a.value for a in n.args)
        assert mod.split('.')[0] in set(modules(f'{extra}_requirements')), f"{mod} is not in the extra {extra}"


@module
def test_syntax_of_the_oldest_python(name):
    "What a newer Python accepts and the oldest supported one does not, as far as it can be told from here"
    tree = ast.parse(SOURCES[name].read_text(encoding='utf-8'), feature_version=(3, 10))
    unpacked = [n for n in ast.walk(tree) if isinstance(n, ast.Subscript) and any(isinstance(e, ast.Starred) for e in getattr(n.slice, 'elts', []))]
    assert not unpacked, f"needs Python 3.11: {[ast.unparse(n) for n in unpacked]}"


@module
def test_device_blind_seeded_and_safe(name):
    used = calls(parse(name))
    assert not [c for c in used if c.endswith('.cuda')], "move to a device with .to(device)"
    assert not used & GLOBAL_SEEDS, "derive a generator with dsdist.core.generator"
    assert not used & PICKLES and not {m for m, _ in imported(parse(name)) if m.split('.')[0] in ('pickle', 'dill', 'cloudpickle', 'shelve')}
    assert not used & {'exit', 'sys.exit', 'quit'} or name == 'cli', "raise UserError"


# --- each notebook that exports ---

@exporting
def test_module_is_named_after_its_notebook(nb):
    assert re.sub(r'(^|/)\d+_(?=[^/]*$)', r'\1', str(nb)).removesuffix('.ipynb').replace('/', '.') == nb.module


@exporting
def test_imports_point_to_lower_numbers(nb):
    for cell in nb.code:
        for dep, _ in imported(ast.parse(text(cell))):
            dep = dep.removeprefix('dsdist.')
            if dep in MODULES: assert MODULES[dep].number < nb.number, f"{dep} has a higher number"


@exporting
def test_export_cells(nb):
    assert text(nb.code[0]).startswith('#| default_exp'), "the first code cell says where to export to"
    code = []
    for cell in nb.exported:
        src, body = text(cell), ast.parse(text(cell)).body
        kinds = {isinstance(n, (ast.Import, ast.ImportFrom)) for n in body}
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
        assert 'test_fail(' in plain, "an error is raised that no cell provokes"
    assert code.rstrip().endswith('nbdev.nbdev_export()')


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
                for m in public(d.body): assert ast.get_docstring(m), f"{d.name}.{m.name} has no docstring"
                if any('dataclass' in ast.unparse(x) for x in d.decorator_list):
                    fields = [n.target.id for n in d.body if isinstance(n, ast.AnnAssign) and not n.target.id.startswith('_')]
                    missing = [n for n in fields if f'`{n}`' not in ast.get_docstring(d)]
                    assert not missing, f"{d.name}: the docstring does not tell what {missing} are"
                f = next((m for m in definitions(d.body) if m.name == '__init__'), None)
            if f is None: continue
            params = f.args.posonlyargs + f.args.args + f.args.kwonlyargs + [a for a in (f.args.vararg, f.args.kwarg) if a]
            for a in params:
                if a.arg not in ('self', 'cls'): assert comment_after(a), f"{d.name}: say what `{a.arg}` is"
            gives = [n for n in ast.walk(f) if isinstance(n, ast.Return) and n.value is not None]
            nested = {n for m in ast.walk(f) if isinstance(m, (ast.FunctionDef, ast.Lambda)) and m is not f for n in ast.walk(m)}
            if f is d and [n for n in gives if n not in nested]:
                head = [l for l in lines[d.lineno-1:d.body[0].lineno-1] if l.strip()]
                assert '#' in head[-1], f"{d.name}: say what is returned"


# --- every notebook ---

@every
def test_begins_with_title_and_one_line(nb):
    assert re.fullmatch(r'# .+\n\n> .+', text(nb.cells[0]).strip()), "the first cell is '# Title', an empty line, '> one line'"


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
    for cell in nb.code: assert not calls(ast.parse(text(cell))) & GLOBAL_SEEDS, "pass a generator"


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
