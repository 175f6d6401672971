"""What every method promises, asked of every method in the registry: one notebook and one line put a new one under all of this.

Everything runs on `toy`, at 1 and 2 images per class, with settings that keep it short."""
import inspect, json, os, subprocess, sys, sysconfig
from contextlib import contextmanager
from dataclasses import fields, replace
from functools import wraps
from pathlib import Path
from typing import Literal, get_args, get_origin, get_type_hints

import pytest
import torch

from dsdist.__main__ import main
from dsdist.core import UserError, find_object
from dsdist.data.sources import load_data
from dsdist.distilled import DistilledSet
from dsdist.evaluation.students import Protocol, train_student
from dsdist.methods import METHODS, SOURCE_KINDS, Made, Run, distill
from dsdist.reader import method_options
from dsdist.settings import Settings
from dsdist.shell.app import flag
from dsdist.tracking import read_log
from dsdist.train.fit import accuracy
from dsdist.work import Job

SHORT = dict(steps=6, every=2, shard=2, iterations=6, inner=3, latest=1, inner_steps=2)   # of those settings, the ones that a method has
QUICK = dict(teacher=dict(arch='convnet-bn-w8', steps=40), experts=dict(arch='convnet-w8', n=2, epochs=3, batch_size=20, lr=.05))   # of sources
NAMES = list(METHODS)


@pytest.fixture(scope='module', autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope='module')
def toy(): return load_data('toy')


@pytest.fixture(scope='module')
def sources(toy):
    "For each kind of source one that belongs to `toy`, made by the registry's own function"
    def make(kind):
        return find_object(SOURCE_KINDS[kind].make)(toy, **QUICK[kind])
    return {None: None, **{kind: make(kind) for kind in SOURCE_KINDS}}


@pytest.fixture
def made(toy, sources):
    "Makes a set: `made(name, ipc, settings...)`, short unless settings say otherwise"
    def make(name, ipc=2, **given): return distill(name, toy, ipc, sources[METHODS[name].source], **short(name) | given)
    return make


def short(name): return {k: v for k, v in SHORT.items() if k in method_options(name)}


def called(name): return find_object(METHODS[name].function)


@contextmanager
def instead(name, body):
    "A method whose body is another one: the door around it stays"
    call = called(name)
    real = call.raw
    call.raw = wraps(real)(body)
    try: yield
    finally: call.raw = real


def untouched(*_, **__): raise AssertionError("the method began to work")


# --- what is registered is what is there ---

@pytest.mark.parametrize('name', NAMES)
def test_the_line_of_the_registry_is_true(name):
    line, f = METHODS[name], called(name).raw
    assert list(inspect.signature(f).parameters)[:4] == ['data', 'ipc', 'source', 'run']
    kind = getattr(get_type_hints(f)['source'], 'kind', None)
    assert kind == line.source and kind in {None, *SOURCE_KINDS}
    assert line.summary and line.paper and not line.summary.endswith('.')


@pytest.mark.parametrize('name', NAMES)
def test_the_text_of_a_method_tells_its_settings(name):
    "The shell reads settings from source text: the same names, defaults and ranges as Python has, each with its meaning"
    call = called(name)
    shown = inspect.signature(call).parameters
    groups = {k: g for k, g in call.groups.items() if k != 'run'}
    there = {k: p.default for k, p in inspect.signature(call.raw).parameters.items() if p.kind == p.KEYWORD_ONLY and k not in groups}
    for g in groups.values(): there |= flat(g)
    read = method_options(name)
    assert {k: o.default for k, o in read.items()} == {k: there[k] for k in read}
    assert not [k for k, v in there.items() if k not in read and isinstance(v, (bool, int, float, str, tuple))]
    assert all(o.doc for o in read.values())
    assert [k for k, o in read.items() if len(o.path) < 2 and k not in shown] == []
    assert [k for k, o in read.items() if len(o.path) == 1 and f"- `{k}`: {o.doc}" not in call.__doc__.replace('`', '').replace(f'- {k}:', f'- `{k}`:')] == []


def flat(settings):
    "All fields of settings, with those of settings inside them"
    found = {}
    for f in fields(settings):
        value = getattr(settings, f.name)
        found |= flat(value) if isinstance(value, Settings) else {f.name: value}
    return found


# --- what is made ---

@pytest.mark.parametrize('ipc', [1, 2])
@pytest.mark.parametrize('name', NAMES)
def test_a_valid_set_with_a_whole_card(name, ipc, made, toy, sources, tmp_path):
    ds = made(name, ipc)
    assert ds.labels.bincount(minlength=3).tolist() == [ipc]*3 and ds.images.shape[1:] == (3, toy.size, toy.size)
    assert ds.images.dtype == torch.float32 and ds.classes == toy.classes
    if ds.space.kind == 'pixels': assert torch.equal((ds.images*255).round()/255, ds.images), "a PNG cannot hold this"
    card, kind = ds.card, METHODS[name].source
    assert card['method'] == name and card['seed'] == 0 and card['data'] == 'toy' and card['data_fingerprint'] == toy.fingerprint
    assert card['settings']['ipc'] == ipc and set(card['versions']) == {'dsdist', 'torch', 'python'}
    assert card['seconds'] >= 0 and card['created'].endswith('UTC')
    if kind: assert card[kind]['fingerprint'] == sources[kind].fingerprint
    ds.save(tmp_path/'set')
    again = DistilledSet.load(tmp_path/'set')
    assert again.fingerprint == ds.fingerprint and again.card == json.loads(json.dumps(card))


def another(option):
    "A value of an option that is not its default"
    hint, now, limits = option.hint, option.default, option.limits
    if hint is bool: return not now
    if option.name in ('arch', 'dsa'): return dict(arch='convnet-w8', dsa='cutout')[option.name]
    if get_origin(hint) is Literal: return next(v for v in get_args(hint) if v != now)
    if get_origin(hint) is tuple: return tuple(.5*(v or 1) for v in now)
    low, high = limits.get('least', limits.get('above')), limits.get('most', limits.get('below'))
    if int in (hint, *get_args(hint)) and float not in (hint, *get_args(hint)): return now - 1 if now is not None and now == high else (now or 0) + 1
    if float in (hint, *get_args(hint)):
        now = now if isinstance(now, (int, float)) else low or 0.
        return now/2 if now else (high or 1.)/2
    raise AssertionError(f"{option.name}: what is another {hint}?")


CASES = [(name, option) for name in NAMES for option, o in method_options(name).items() if o.path[:1] != ('tracking',)]   # a log is no part of a set

@pytest.mark.parametrize('name, option', CASES, ids=['-'.join(c) for c in CASES])
def test_every_setting_reaches_the_card(name, option, toy, sources):
    "A setting is given, another value than its default: it stands on the card, or a sentence that names it refuses it"
    o = method_options(name)[option]
    value, seen = another(o), {}
    def body(data, ipc, source, run, **settings):
        seen.update(settings)
        return Made(torch.zeros(3, 3, 8, 8), torch.arange(3))
    given = {o.path[-1]: nested(called(name), o, value)} if len(o.path) > 1 else {option: value}
    with instead(name, body):
        try: card = distill(name, toy, 1, sources[METHODS[name].source], **given).card['settings']
        except UserError as e:
            assert option in str(e)
            return
    for p in o.path[1:]: card = card[p]
    assert card[option] == json.loads(json.dumps(value))
    here = seen
    for p in o.path: here = here[p] if isinstance(here, dict) else getattr(here, p)
    assert (here[option] if isinstance(here, dict) else getattr(here, option)) == value, "it is on the card, but the method was given another"


def nested(call, o, value):
    "A settings object inside another, with one field changed"
    return replace(getattr(inspect.signature(call.raw).parameters[o.path[0]].default, o.path[1]), **{o.name: value})


@pytest.mark.parametrize('name', NAMES)
def test_same_seed_same_bytes(name, made):
    "... and another seed other bytes, where the registry says so"
    first = made(name, seed=1)
    assert made(name, seed=1).fingerprint == first.fingerprint
    others = {made(name, seed=s).fingerprint for s in (2, 3, 4)}
    if METHODS[name].seeded: assert others - {first.fingerprint}, "the seed decides nothing"
    else: assert others == {first.fingerprint}, "the seed decides, but the registry says it does not"


@pytest.mark.parametrize('name', [n for n in NAMES if 'log_to' in method_options(n)])
def test_a_log_changes_nothing(name, made, tmp_path):
    "The same set with the same settings on its card, and a line for each step"
    plain, logged = made(name), made(name, log_to=tmp_path/'log', log_every=2)
    assert logged.fingerprint == plain.fingerprint and logged.card['settings'] == plain.card['settings']
    assert [row['Progress'] for row in read_log(tmp_path/'log')] == list(range(6))
    assert len([*(tmp_path/'log').rglob('*.png')]) in (8, 16)   # before steps 0, 2 and 4, and at the end: two views, four where values are no pixels


# --- what is refused, and when ---

def other_kind(): return type('Other', (), dict(kind='spoon', check=untouched))()


@pytest.mark.parametrize('name', NAMES)
def test_mistakes_are_refused_before_any_work(name, toy, sources):
    source = sources[METHODS[name].source]
    def refused(words, ipc=1, source=source, data=toy, **given):
        with instead(name, untouched), pytest.raises(UserError) as e: distill(name, data, ipc, source, **given)
        assert words in str(e.value) and '\n' not in str(e.value)
    refused('ipc must be a whole number of at least 1, got 0', ipc=0)
    refused('ipc must be a whole number of at least 1', ipc=1.5)
    refused("ipc 61 is too many: class 'red' of toy has only 60 training images", ipc=61)
    refused(f"method {name} has no setting 'salt'", salt=1)
    refused('seed must be a whole number', seed='one')
    refused("unknown device 'abacus'", device='abacus')
    refused(f"method {name} takes no spoon" if METHODS[name].source is None else 'got spoon', source=other_kind())
    if METHODS[name].source: refused('another class order', data=load_data('digits'))
    for option in method_options(name).values():
        if option.path[1:]: continue
        for word, by in (('least', -1), ('above', 0), ('most', 1), ('below', 0)):
            if word in option.limits: refused(option.name, **{option.name: option.limits[word] + by})
        if get_origin(option.hint) is Literal: refused(f"unknown {option.name} 'salt': choose one of", **{option.name: 'salt'})


# --- killed and resumed; the shell; students ---

class Killed(BaseException): pass


@pytest.mark.parametrize('moment', ['save', 'finish'])
@pytest.mark.parametrize('name', NAMES)
def test_killed_and_resumed_gives_the_same_bytes(name, moment, made, tmp_path, monkeypatch):
    "A run dies right after it kept something for the first time; typed again, it goes on from there"
    whole, keep, kept = made(name), getattr(Job, moment), []
    def die(self, *args):
        keep(self, *args)
        kept.append(self.number)
        if len(kept) == 1: raise Killed
    with monkeypatch.context() as m:
        m.setattr(Job, moment, die)
        try: made(name, work=tmp_path)
        except Killed: pass
    left = {p: p.stat().st_mtime_ns for p in tmp_path.iterdir()}
    assert len(left) == bool(kept)
    assert made(name, work=tmp_path).fingerprint == whole.fingerprint
    if moment == 'finish': assert all(p.stat().st_mtime_ns == t for p, t in left.items()), "what was done is done again"


@pytest.fixture(scope='module')
def shop(tmp_path_factory, sources):
    "A folder with every kind of source; the working folder of the tests that use it"
    home, here = tmp_path_factory.mktemp('shop'), Path.cwd()
    for kind, s in sources.items():
        if kind: s.save(home/kind)
    os.chdir(home)
    yield home
    os.chdir(here)


@pytest.mark.parametrize('name', NAMES)
def test_the_shell_makes_what_python_makes(name, made, shop, capsys):
    kind, settings = METHODS[name].source, short(name)
    line = ['distill', name, 'toy', '--ipc', '2', '--out', name, *([f'--{kind}', kind] if kind else [])]
    for k, v in settings.items(): line += [flag(k), str(v)]
    with pytest.raises(SystemExit) as end: main(line)
    assert end.value.code == 0, capsys.readouterr().err
    ds = DistilledSet.load(name)
    assert ds.fingerprint == made(name).fingerprint
    assert ds.card['settings'] == json.loads(json.dumps(made(name).card['settings']))


@pytest.mark.parametrize('name', NAMES)
def test_the_help_of_the_shell_shows_every_setting(name, capsys):
    with pytest.raises(SystemExit) as end: main(['distill', name, '--help'])
    out = capsys.readouterr().out
    assert end.value.code == 0 and f'Example: dsdist distill {name}' in out
    words = ' '.join(out.split())
    for o in method_options(name).values():
        assert flag(o.name) in out and o.doc.split(',')[0].split(':')[0] in words, o.name
        if o.hint is bool: assert f'--no-{flag(o.name)[2:]}' in out


@pytest.mark.parametrize('name', NAMES)
def test_students_learn_from_it(name, made, toy):
    "Far above a third, the share of a guess"
    options = method_options(name)
    longer = {k: v for k, v in dict(steps=100, iterations=20).items() if k in options}
    if 'start' in options and options['start'].default == 'noise': longer['start'] = 'real'   # from noise it takes longer than a test should
    ds = made(name, 2, **longer)
    student = train_student(ds, toy, 'convnet-w8', protocol=Protocol('short', steps=100), seed=0)
    assert accuracy(student, toy.test) > .5


# --- methods of other packages ---

PACKAGE = '''
import torch
from dsdist.methods import Made, Method, method

MEANS = Method('{module}:means', None, 'the mean image of each class', 'nowhere')

@method
def means(data, ipc, source, run, *,
          dark:float=0., # how much darker the means become
          )->Made:
    "Class means."
    one = [(data.train.gather((data.train.labels == c).nonzero()[:,0]).float()/255).mean(0)*(1-dark) for c in range(data.n_classes)]
    return Made(torch.stack(one).repeat_interleave(ipc, 0), torch.arange(data.n_classes).repeat_interleave(ipc))
'''


@pytest.fixture
def stranger(tmp_path, quiet):
    "Runs the installed command beside another package that registers a method; `name` is what it registers"
    def go(*line, name='class-means'):
        (tmp_path/'strange.py').write_text(PACKAGE.format(module='strange'))
        info = tmp_path/'strange-1.0.dist-info'
        info.mkdir(exist_ok=True)
        (info/'METADATA').write_text('Metadata-Version: 2.1\nName: strange\nVersion: 1.0\n')
        (info/'entry_points.txt').write_text(f'[dsdist.methods]\n{name} = strange:MEANS\n')
        command = str(Path(sysconfig.get_path('scripts'))/'dsdist')
        return subprocess.run([command, *line], cwd=tmp_path, env={**quiet, 'PYTHONPATH': str(tmp_path)}, capture_output=True, text=True)
    return go


def test_a_method_of_another_package(stranger, tmp_path):
    assert 'the mean image of each class' in stranger('methods').stdout
    assert '--dark' in stranger('distill', 'class-means', '--help').stdout
    done = stranger('distill', 'class-means', 'toy', '--ipc', '1', '--dark', '.5', '--out', 'set')
    assert done.returncode == 0, done.stderr
    card = DistilledSet.load(tmp_path/'set').card
    assert card['method'] == 'class-means' and card['settings'] == dict(dark=.5, ipc=1)


def test_another_package_may_not_take_a_name(stranger):
    done = stranger('methods', name='wmdd')
    assert done.returncode == 2 and done.stderr == "dsdist: strange:MEANS registers the method 'wmdd', which dsdist has\n"
