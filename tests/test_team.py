"Two processes that share a recovery end with the bytes of one, also when they are killed on the way."
import os, signal, socket, subprocess, sys, time

import pytest
from safetensors import safe_open

from notebooks import succeed

STEPS = 200


@pytest.fixture(scope='module')
def bench(tmp_path_factory, quiet):
    folder, env = tmp_path_factory.mktemp('team'), {**quiet, 'OMP_NUM_THREADS': '1'}
    succeed([sys.executable, '-m', 'dsdist', 'squeeze', 'digits', '--arch', 'convnet3-bn-w16', '--steps', '20', '--out', 'teacher'], cwd=folder, env=env)
    return folder, env


def distill(out, method='wmdd'):
    return ['-m', 'dsdist', 'distill', method, 'digits', '--ipc', '3', '--teacher', 'teacher', '--steps', str(STEPS), '--shard', '10', '--out', out]


def team(out, method='wmdd'):
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        port = s.getsockname()[1]
    return [sys.executable, '-m', 'accelerate.commands.launch', '--num_processes', '2', '--num_machines', '1', '--mixed_precision', 'no', '--dynamo_backend', 'no',
            '--cpu', '--main_process_port', str(port), *distill(out, method)]


@pytest.mark.parametrize('method', ['wmdd', 'sre2l'])
def test_two_processes_make_the_bytes_of_one(bench, method):
    folder, env = bench
    alone = succeed([sys.executable, *distill(f'{method}-alone', method)], cwd=folder, env=env)
    together = succeed(team(f'{method}-team', method), cwd=folder, env=env)
    assert (folder/f'{method}-team'/'set.safetensors').read_bytes() == (folder/f'{method}-alone'/'set.safetensors').read_bytes()
    assert together.replace('team', 'alone') == alone, "one of them speaks, not both"


def test_a_killed_team_goes_on(bench):
    folder, env = bench
    work = folder/'.torn.work'
    p = subprocess.Popen(team('torn'), cwd=folder, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    end = time.monotonic() + 300
    while len(list(work.glob('*/*.safetensors'))) < 3 and p.poll() is None and time.monotonic() < end: time.sleep(.02)
    os.killpg(p.pid, signal.SIGKILL)
    p.wait()
    kept = {}
    for f in work.glob('*/*.safetensors'):
        with safe_open(f, 'pt') as t: kept[f.name] = int(t.metadata()['step'])
    assert len(kept) >= 3 and max(kept.values()) == STEPS and not (folder/'torn').exists(), kept
    succeed(team('torn'), cwd=folder, env=env)
    assert (folder/'torn'/'set.safetensors').read_bytes() == (folder/'wmdd-alone'/'set.safetensors').read_bytes()
    assert not work.exists(), "work is left behind"
