"""Two processes that share a recovery end with the bytes of one, also when they are killed on the way.

They are started by torchrun: `accelerate launch --cpu --num_processes 2` starts one process, and a test of it would prove nothing."""
import json, socket, subprocess, sys, time
from pathlib import Path

import psutil, pytest
from PIL import Image
from safetensors import safe_open

import dsdist.__main__   # registers the commands
from dsdist.shell.app import app, run_line
from notebooks import succeed

STEPS = 100
MEMBER = """
from pathlib import Path
from dsdist.__main__ import main
from dsdist.work import place_in_team
rank, size = place_in_team()
Path(f'place-{rank}-of-{size}').touch()
main()
"""


@pytest.fixture(scope='module')
def bench(tmp_path_factory, quiet):
    folder, env = tmp_path_factory.mktemp('team'), {**quiet, 'OMP_NUM_THREADS': '1'}
    succeed([sys.executable, '-m', 'dsdist', 'squeeze', 'digits', '--arch', 'convnet3-bn-w16', '--steps', '20', '--out', 'teacher'], cwd=folder, env=env)
    (folder/'member.py').write_text(MEMBER)
    return folder, env


def distill(out, method='wmdd'):
    return ['member.py', '--', 'distill', method, 'digits', '--ipc', '3', '--teacher', 'teacher', '--steps', str(STEPS), '--start', 'noise', '--shard', '10', '--out', out]


def team(out, method='wmdd'): return together(distill(out, method))


def together(member):
    "Two processes that run a file with its arguments"
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        port = s.getsockname()[1]
    return [sys.executable, '-m', 'torch.distributed.run', '--nproc-per-node', '2', '--master-port', str(port), *member]


@pytest.mark.parametrize('method', ['wmdd', 'sre2l'])
def test_two_processes_make_the_bytes_of_one(bench, method):
    folder, env = bench
    alone = succeed([sys.executable, *distill(f'{method}-alone', method)], cwd=folder, env=env)
    together = succeed(team(f'{method}-team', method), cwd=folder, env=env)
    assert (folder/f'{method}-team'/'set.safetensors').read_bytes() == (folder/f'{method}-alone'/'set.safetensors').read_bytes()
    assert together.replace('team', 'alone') == alone, "one of them speaks, not both"
    assert sorted(p.name for p in folder.glob('place-*')) == ['place-0-of-1', 'place-0-of-2', 'place-1-of-2']


def test_two_processes_train_the_experts_of_one(bench):
    "After two dashes: without them torchrun takes `--n` for an option of its own that was cut short"
    folder, env = bench
    def line(out): return ['member.py', '--', 'experts', 'digits', '--arch', 'convnet2-w8', '--n', '4', '--epochs', '1', '--codec', 'delta-int8', '--out', out]
    alone = succeed([sys.executable, *line('experts-alone')], cwd=folder, env=env)
    shared = succeed(together(line('experts-team')), cwd=folder, env=env)
    assert shared.replace('team', 'alone') == alone, "one of them speaks, not both"
    files = {p.name: p.read_bytes() for p in (folder/'experts-alone').iterdir()}
    assert len([name for name in files if name.startswith('expert-')]) == 4
    assert {p.name: p.read_bytes() for p in (folder/'experts-team').iterdir()} == files
    assert not list(folder.glob('.experts-*')), "work is left behind"


def test_a_killed_team_goes_on(bench):
    folder, env = bench
    work = folder/'.torn.work'
    p = subprocess.Popen(team('torn'), cwd=folder, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    end = time.monotonic() + 300
    while len(list(work.glob('*/*.safetensors'))) < 3 and p.poll() is None and time.monotonic() < end: time.sleep(.02)
    for member in [*psutil.Process(p.pid).children(recursive=True), p]: member.kill()
    p.wait()
    kept = {}
    for f in work.glob('*/*.safetensors'):
        with safe_open(f, 'pt') as t: card = json.loads(t.metadata()['dsdist'])['card']
        kept[f.name] = STEPS if card['done'] else card['step']
    assert len(kept) >= 3 and max(kept.values()) == STEPS and not (folder/'torn').exists(), kept
    succeed(team('torn'), cwd=folder, env=env)
    assert (folder/'torn'/'set.safetensors').read_bytes() == (folder/'wmdd-alone'/'set.safetensors').read_bytes()
    assert not work.exists(), "work is left behind"


def test_a_notice_is_printed_once(bench):
    "Both processes read the folder, find the same and split it; one of them says so"
    folder, env = bench
    for c, color in (('cat', 'red'), ('dog', 'blue')):
        for i in range(4):
            file = folder/'pets'/c/f'{i}.png'
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.new('RGB', (8, 8), color).save(file)
        (folder/'pets'/c/'notes.xyz').write_text('hello')
    line = ['member.py', 'distill', 'random', 'folder:pets', '--ipc', '1', '--out', 'pair']
    done = subprocess.run(together(line), cwd=folder, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    notices = [s for s in done.stderr.splitlines() if s.startswith('dsdist: ')]
    assert len(notices) == len({*notices}) > 0, done.stderr
    assert done.stdout.count('fingerprint') == 1 and (folder/'pair').is_dir()


SHARED = {'squeeze', 'evaluate', 'attack', 'experts'}   # and `distill`, a group of commands
ALONE = {'demo': '', 'data': 'toy', 'relabel': 'small --teacher teacher --out new', 'show': 'small --out new.png', 'export': 'small --out new',
         'import': 'images.pt labels.pt --from mtt --data toy --space zca --out new',
         'report': 'small score.json', 'methods': '', 'protocols': '', 'networks': '', 'datasets': '', 'bench': 'anchors'}


def test_every_command_is_shared_or_alone():
    names = {c.name or c.callback.__name__.removeprefix('cli_') for c in app.registered_commands}
    assert names == SHARED | set(ALONE)


@pytest.mark.parametrize('name', ALONE)
def test_a_command_for_one_process_refuses_to_be_shared(tmp_path, monkeypatch, name):
    "The first process says so in a sentence, the others say nothing, and no file is read or written"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('WORLD_SIZE', '2')
    for rank in '01':
        monkeypatch.setenv('RANK', rank)
        code, out, err = run_line(f'{name} {ALONE[name]}')
        assert (code, out) == (2, '')
        words = 'dsdist: this command runs in one process: start it without torchrun or accelerate launch, which have started 2\n'
        assert err == (words if rank == '0' else '')
    assert not list(Path().iterdir())
