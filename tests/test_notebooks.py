"Every notebook runs from top to bottom, each in a process of its own (see runner.py), and in a reasonable time."
import pytest

from notebooks import NOTEBOOKS

LIMIT = 30   # CPU seconds of one thread on the reference machine
README = 60  # for the index: the example of the README, at the size that a reader runs
every = pytest.mark.parametrize('nb', NOTEBOOKS, ids=str)


@every
def test_runs(nb, pool):
    r = pool.result(str(nb))
    if not r['ok']: pytest.fail(r['log'][-9000:], pytrace=False)


@every
def test_takes_half_a_minute(nb, pool):
    limit = (README if str(nb) == 'index.ipynb' else LIMIT)*pool.slowness()
    seconds = pool.result(str(nb))['cpu']
    assert seconds <= limit, (f"{seconds:.0f} CPU seconds, {limit:.0f} are allowed on this machine: take less data or smaller networks, "
                              "or keep the measurement with its certificate (kept_result in 19_bench)")
