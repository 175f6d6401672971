"""Results that took hours are kept beside their notebooks: each with its certificate, and those that are older than the code they used are listed."""
import warnings

import pytest

from dsdist.bench import kept_result, read_certificate, stale_results
from notebooks import NBS

FILES = sorted(NBS.rglob('results/*.json'))


@pytest.mark.parametrize('path', FILES, ids=lambda p: p.relative_to(NBS).as_posix())
def test_has_a_certificate(path):
    about = read_certificate(path)
    assert kept_result(path), "there are no rows"
    assert list(about) == ['made', 'version', 'machine', 'command', 'hours', 'settings', 'code']
    assert about['made'] and about['version'] and about['machine'] and about['command'], about


def test_old_ones_are_listed():
    "Not a failure: what changed may not touch the rows. The summary of the tests names them"
    folders = sorted({path.parent for path in FILES})
    stale = [f"{file.relative_to(NBS)} ({modules if modules == 'unknown' else ', '.join(modules)})"
             for folder in folders for file, modules in stale_results(folder)]
    if stale: warnings.warn(f"{len(stale)} of {len(FILES)} kept results are older than the code they used: {'; '.join(stale)}")
