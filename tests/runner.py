"""Runs notebooks with nbdev's own runner (cells marked slow or gpu are skipped): each in a process of its own, as many at a time as
there are cores.

python tests/runner.py NB ...     on standard output a line of JSON for the machine's speed, and one for each notebook that is done

Importing torch and its relatives takes seven seconds. On Linux this process imports them once, computes nothing, and forks for each
notebook; a fork of a process that has computed or has threads is not safe, and on other systems none is: there each notebook gets a
fresh Python.
It ends, and ends what it has started, when its standard input is closed.
"""
import importlib, json, os, select, shutil, signal, sys, tempfile, time, traceback
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HEAVY = ['numpy', 'scipy.optimize', 'scipy.spatial', 'sklearn.cluster', 'sklearn.datasets', 'sklearn.manifold', 'PIL.Image', 'torch',
         'torch.utils.data', 'torchvision', 'safetensors.torch', 'ot', 'matplotlib.pyplot', 'matplotlib_inline.backend_inline', 'typer',
         'tqdm', 'nbdev.test']
SPEED = 'speed'   # the job that measures this machine
LONGEST = 1800    # seconds after which a notebook is ended


def cores(): return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()


def speed():
    "CPU seconds of a small convolutional network's training, the best of five tries"
    import torch
    images, labels, best = torch.rand(64, 3, 16, 16), torch.arange(64) % 10, float('inf')
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 32, 3), torch.nn.BatchNorm2d(32), torch.nn.ReLU(), torch.nn.Conv2d(32, 32, 3), torch.nn.ReLU(),
                              torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(32, 10))
    steps = torch.optim.SGD(net.parameters(), lr=.01)
    for _ in range(5):
        start = time.process_time()
        for _ in range(15):
            steps.zero_grad()
            torch.nn.functional.cross_entropy(net(images), labels).backward()
            steps.step()
        best = min(best, time.process_time() - start)
    return best


def perform(job):
    "One job, in a process of its own; whether it went well"
    if job == SPEED: print(speed()); return True
    from nbdev.config import get_config
    from nbdev.test import test_nb
    return test_nb(ROOT/job, skip_flags=get_config().tst_flags.split(), basepath=get_config().config_path)[0]


def child(job, folder):
    "The life of a job's process: a group, a temporary folder and a log of its own"
    code = 1
    try:
        group(0)
        os.chdir(ROOT)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        log = os.open(f'{folder}.log', os.O_WRONLY | os.O_CREAT)
        for out in (1, 2): os.dup2(log, out)
        os.environ['TMPDIR'] = tempfile.tempdir = folder
        code = 0 if perform(job) else 1
    except BaseException: traceback.print_exc()
    finally:
        sys.stdout.flush(), sys.stderr.flush()
        os._exit(code)


def start(job, folder, forks):
    "Begin a job; its process id"
    folder.mkdir()
    if not forks: return os.spawnv(os.P_NOWAIT, sys.executable, [sys.executable, __file__, '--one', job, str(folder)])
    pid = os.fork()
    if not pid: child(job, str(folder))
    group(pid)
    return pid


def group(pid):
    "A process becomes the head of a group of its own; parent and child both see to it, since either may be first"
    try: os.setpgid(pid, pid)
    except (ProcessLookupError, PermissionError): pass


def end(pid):
    "Nothing of a job's group stays behind"
    try: os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError): pass


def report(job, folder, status, usage, begun):
    log = Path(f'{folder}.log').read_text(encoding='utf-8', errors='replace')
    if os.WIFSIGNALED(status): log += f'\nended by signal {os.WTERMSIG(status)} after {time.monotonic()-begun:.0f} seconds\n'
    print(json.dumps(dict(job=job, ok=status == 0, cpu=usage.ru_utime + usage.ru_stime, log=log)), flush=True)


def run(jobs, work, forks):
    "All jobs, `cores()` at a time, in this order"
    todo, running = list(jobs), {}
    try:
        while todo or running:
            while todo and len(running) < cores():
                job, folder = todo.pop(0), work/str(len(todo))
                running[start(job, folder, forks)] = job, folder, time.monotonic()
            pid, status, usage = os.wait4(-1, os.WNOHANG)
            if pid in running:
                end(pid)
                job, folder, begun = running.pop(pid)
                report(job, folder, status, usage, begun)
                shutil.rmtree(folder, ignore_errors=True)
            elif select.select([0], [], [], .05)[0] and not os.read(0, 1): return   # the tests have left
            for pid, (_, _, begun) in running.items():
                if time.monotonic() - begun > LONGEST: end(pid)
    finally:
        for pid in running: end(pid)


def main(jobs):
    sys.path.pop(0)   # this folder is not a place that notebooks import from
    os.chdir(ROOT)
    forks = sys.platform == 'linux'
    if forks:
        for name in HEAVY: importlib.import_module(name)
        assert not [m for m in sys.modules if m.split('.')[0] == 'dsdist'], "each notebook imports the package anew"
        threads = [Path(f'/proc/self/task/{t}/comm').read_text().strip() for t in os.listdir('/proc/self/task')]
        forks = len(threads) == 1
        if not forks: print('each notebook imports everything anew, since an import started a thread:', *threads, file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix='notebooks-', ignore_cleanup_errors=True) as work: run([SPEED, *jobs], Path(work), forks)


if __name__ == '__main__':
    if sys.argv[1] == '--one': sys.path.pop(0); child(*sys.argv[2:])
    main(sys.argv[1:])
