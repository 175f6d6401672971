"""A run of the installed command that dies in the middle goes on when it is typed again, and ends with the same bytes."""
import json, signal, subprocess, sysconfig, time
from pathlib import Path

import pytest
from safetensors import safe_open

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
