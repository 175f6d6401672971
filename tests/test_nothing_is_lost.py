"""Nothing of a user's is deleted, overwritten or believed without a check: issues of the first hour, each as it was typed."""
import json, os, resource, shutil
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image

import dsdist.__main__
from dsdist.core import UserError
from dsdist.evaluation.scorecard import Scorecard
from dsdist.shell.app import run_line

NET = '--arch convnet-bn-w8 --steps 3'


def tree(folder): return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(Path(folder).rglob('*')) if p.is_file()}


@pytest.fixture(scope='module')
def made(tmp_path_factory):
    "A folder with a teacher, a set, a scorecard, and images"
    home, before = tmp_path_factory.mktemp('made'), os.getcwd()
    os.chdir(home)
    run_line(f'squeeze toy {NET} --out teacher', 0)
    run_line('distill wmdd toy --teacher teacher --ipc 1 --steps 2 --out small', 0)
    run_line('evaluate small toy --arch convnet-w8 --seeds 1 --no-baselines --out score.json', 0)
    for c in ('cat', 'dog'):
        for i in range(3):
            file = Path(f'pets/train/{c}/{i}.png')
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.new('RGB', (8, 8), (40*i, 0, 200)).save(file)
    os.chdir(before)
    return home


@pytest.fixture
def home(made, tmp_path, monkeypatch):
    "A copy of it, to be in"
    shutil.copytree(made, tmp_path/'home')
    monkeypatch.chdir(tmp_path/'home')
    return tmp_path/'home'


FORCED = [
    (f'squeeze toy {NET} --out pets', 'pets is a folder that dsdist did not write'),
    ('distill random toy --ipc 1 --out pets', 'pets is a folder that dsdist did not write'),
    ('distill random toy --ipc 1 --out pets/train', 'dsdist did not write'),
    ('distill wmdd toy --teacher teacher --ipc 1 --steps 2 --out teacher', 'this run reads teacher'),
    ('distill wmdd toy --teacher teacher --ipc 1 --steps 2 --out ./teacher/../teacher', 'this run reads teacher'),
    ('distill wmdd toy --teacher teacher --ipc 1 --steps 2 --out teacher/new', 'this run reads teacher'),
    (f'squeeze toy {NET} --out small', 'small is a distilled set, not a teacher'),
    ('distill random toy --ipc 1 --out teacher', 'teacher is a teacher, not a distilled set'),
    ('relabel small --teacher teacher --kind mean --out small', 'this run reads small'),
    ('export small --to folder --out small', 'this run reads small'),
    ('export small --to folder --out pets', 'pets is a folder that dsdist did not write'),
    ('evaluate small toy --arch convnet-w8 --seeds 1 --no-baselines --out teacher', 'teacher'),
    ('report small score.json --out score.json', 'score.json'),
    ('demo --out pets', 'pets is a folder that dsdist did not write'),
    ('demo --out .', 'the folder you are in'),
]


@pytest.mark.parametrize('line, words', FORCED, ids=[line for line, _ in FORCED])
def test_force_replaces_only_what_is_of_its_kind(home, line, words):
    before = tree('.')
    ended = run_line(f'{line} --force', 2)
    assert words in ended.err and ended.err.count('\n') <= 2, ended.err
    assert tree('.') == before


def test_force_in_a_project_folder(home):
    "A teacher, a set and a scorecard, made by separate commands, lie in one folder: none of them is replaced by the folder's name"
    Path('mine').mkdir()
    for name in ('teacher', 'small', 'score.json'): shutil.move(name, f'mine/{name}')
    before = tree('.')
    for line in (f'squeeze toy {NET} --out mine', 'distill random toy --ipc 1 --out mine', 'demo --out mine'):
        assert 'did not write' in run_line(f'{line} --force', 2).err
    assert tree('.') == before


def test_a_file_of_the_user_in_a_set_is_kept(home):
    Path('small/notes.txt').write_text('my thoughts')
    before = tree('.')
    assert 'notes.txt' in run_line('distill random toy --ipc 1 --out small --force', 2).err
    assert tree('.') == before


@pytest.mark.parametrize('change', [dict(classes=['blue', 'green', 'red']), dict(test_accuracy=.999), dict(arch='convnet-bn-w16')], ids=str)
def test_the_card_of_a_teacher_cannot_be_edited(home, change):
    head = json.loads(Path('teacher/card.json').read_text())
    head['card'] |= change
    Path('teacher/card.json').write_text(json.dumps(head))
    assert 'was changed after it was saved' in run_line('distill wmdd toy --teacher teacher --ipc 1 --steps 2 --out new', 2).err
    assert set(head['card']['versions']) == {'dsdist', 'torch', 'python'}


WRITERS = [f'squeeze toy {NET} --out new', 'distill random toy --ipc 9 --out new', 'distill wmdd toy --teacher teacher --ipc 9 --steps 2 --out new',
           'relabel small --teacher teacher --out new.safetensors', 'export small --to folder --out new', 'export small --to parquet --out new.parquet',
           'evaluate small toy --arch convnet-w8 --seeds 1 --no-baselines --out new.json', 'report small score.json --out new.html']


def test_scores_that_cannot_be_saved_are_shown(home, monkeypatch):
    "The disk is full when the last student is done: the table is printed, and typed again the command trains nothing anew"
    line = 'evaluate small toy --arch convnet-w8 --seeds 2 --no-baselines --out new.json'
    def full(*_, **__): raise UserError('new.json cannot be written: No space left on device')
    with monkeypatch.context() as m:
        m.setattr(Scorecard, 'save', full)
        ended = run_line(line, 2)
    assert 'wmdd' in ended.err and '±' in ended.err and ended.err.splitlines()[-1].endswith('No space left on device')
    with monkeypatch.context() as m:
        m.setattr('dsdist.evaluation.judge.score_student', None)
        assert 'wmdd' in run_line(line, 0).out


@contextmanager
def full_disk():
    "No file of this process may become larger than 300 bytes"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300, hard))
    try: yield
    finally: resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize('line', WRITERS)
def test_full_disk(home, line):
    "A sentence names the file that could not be written, and nothing is left"
    before = tree('.')
    with full_disk(): ended = run_line(line)
    assert ended.code == 2 and 'Traceback' not in ended.err, ended
    assert 'cannot be written: ' in ended.err.splitlines()[-1] and 'new' in ended.err.splitlines()[-1], ended
    assert tree('.') == before
