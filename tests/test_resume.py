"""A run of the installed command that dies in the middle goes on when it is typed again, and ends with the same bytes."""
import json, re, signal, subprocess, sys, sysconfig, time
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

import dsdist.__main__   # registers the commands
from dsdist.data.sources import load_data
from dsdist.distilled import DistilledSet
from dsdist.shell.app import run_line
from notebooks import succeed

DSDIST = str(Path(sysconfig.get_path('scripts'))/'dsdist')
STEPS = 600


@pytest.fixture(scope='module')
def bench(tmp_path_factory, quiet):
    "(folder with a teacher, environment)"
    folder, env = tmp_path_factory.mktemp('bench'), {**quiet, 'OMP_NUM_THREADS': '1'}
    succeed([DSDIST, 'squeeze', 'digits', '--arch', 'convnet3-bn-w16', '--steps', '20', '--out', 'teacher'], cwd=folder, env=env)
    return folder, env


def distill(out): return [DSDIST, 'distill', 'wmdd', 'digits', '--ipc', '1', '--teacher', 'teacher', '--steps', str(STEPS), '--out', out]


def step(work):
    "How far the run got that keeps its work in this folder; 0: nowhere yet"
    for p in work.glob('*/*.safetensors'):
        with safe_open(p, 'pt') as f: card = json.loads(f.metadata()['dsdist'])['card']
        return STEPS if card['done'] else card['step']
    return 0


def killed_after(command, bench, work, enough):
    "Start a command, `kill -9` it when `enough` steps are on disk, and give back the steps that were seen"
    folder, env = bench
    seen, end = [step(work)], time.monotonic() + 300
    p = subprocess.Popen(command, cwd=folder, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        while seen[-1] < enough and p.poll() is None and time.monotonic() < end:
            time.sleep(.01)
            seen.append(step(work))
    finally: p.kill()
    err = p.communicate()[1]
    assert p.returncode == -signal.SIGKILL, err
    return seen, err


def test_killed_twice_ends_with_the_same_bytes(bench):
    folder, env = bench
    whole = succeed(distill('whole'), cwd=folder, env=env)
    assert not (folder/'.whole.work').exists()

    work = folder/'.torn.work'
    _, err = killed_after(distill('torn'), bench, work, 50)
    first = step(work)
    assert 50 <= first < STEPS and 'earlier run' not in err and not (folder/'torn').exists()

    seen, err = killed_after(distill('torn'), bench, work, first + 50)
    second = step(work)
    assert first < second < STEPS and min(seen) == first, "it began anew"
    assert err == 'dsdist: found the unfinished work of an earlier run in .torn.work: going on from there\n'

    torn = succeed(distill('torn'), cwd=folder, env=env)
    assert (folder/'torn'/'set.safetensors').read_bytes() == (folder/'whole'/'set.safetensors').read_bytes()
    assert (folder/'torn'/'grid.png').read_bytes() == (folder/'whole'/'grid.png').read_bytes()
    assert torn == whole.replace('whole', 'torn')
    assert sorted(p.name for p in folder.iterdir()) == ['teacher', 'torn', 'whole'], "work is left behind"


def test_same_seed_same_bytes_in_another_process(bench):
    folder, env = bench
    short = [a if a != str(STEPS) else '20' for a in distill('one')]
    succeed(short, cwd=folder, env={**env, 'PYTHONHASHSEED': '1'})
    succeed([*short[:-1], 'two'], cwd=folder, env={**env, 'PYTHONHASHSEED': '2'})
    assert (folder/'one'/'set.safetensors').read_bytes() == (folder/'two'/'set.safetensors').read_bytes()


# --- students under attack ---

ATTACK = 'attack wrong toy --arch convnet1-w4 --seeds 1 --n 4 --eps 1/255 --teacher teacher --out attacked.json'
KILLER = """
import os, signal
from dsdist.__main__ import main
import dsdist.evaluation.robust as robust
real, done = robust.robustness, []
def once(*args, **kwargs):
    if done: os.kill(os.getpid(), signal.SIGKILL)
    done.append(1)
    return real(*args, **kwargs)
robust.robustness = once
main()
"""


def same(result):
    "What attacks found, without the seconds of this machine"
    text = re.sub(r'"seconds": [^,}]+', '', json.dumps(result))
    return text.replace('attacked', 'whole')


def test_a_student_that_is_never_right_and_a_killed_attack(tmp_path, monkeypatch, quiet):
    """A set with wrong labels teaches students that are right on no image: their robust accuracy is 0, those of the
    baselines are attacked. Killed after its first student, the command keeps it, says so, and ends with the same."""
    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        run_line('squeeze toy --arch convnet1-bn-w8 --steps 20 --out teacher', 0)
        toy = load_data('toy')
        i = torch.cat([(toy.train.labels == c).nonzero()[:2, 0] for c in range(3)])
        DistilledSet(toy.train.images[i].float()/255, (toy.train.labels[i] + 1) % 3, classes=toy.classes).save('wrong')
        whole = json.loads(run_line(ATTACK.replace('attacked', 'whole') + ' --json', 0).out)
        worst = {r['set']: r['value'] for r in whole['rows'] if r['metric'].endswith('robust accuracy at linf 1/255')}
        killed = subprocess.run([sys.executable, '-c', KILLER, *ATTACK.split()], cwd=tmp_path, env={**quiet, 'OMP_NUM_THREADS': '1'}, capture_output=True, text=True)
        assert killed.returncode == -signal.SIGKILL and not Path('attacked.json').exists(), killed.stderr
        assert 'each student is attacked with 4 images' in killed.stderr and '\ndsdist: 4 students to train' in killed.stderr
        again = run_line(ATTACK + ' --json', 0)
    finally: torch.set_num_threads(threads)
    assert '\ndsdist: 1 of 4 students are kept from an earlier run, 3 students to train' in again.err
    assert same(json.loads(again.out)) == same(whole)
    assert not list(tmp_path.glob('.*.work')), "work is left behind"
    assert set(worst) == {'wrong', 'random real', 'nearest real', 'full data'} and worst['wrong'] == 0 < worst['full data']
    clean = {r['set']: r['value'] for r in whole['rows'] if r['metric'] == 'accuracy'}
    assert clean['wrong'] < .1 < clean['full data']
