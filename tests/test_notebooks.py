"Every notebook runs from top to bottom, each in a fresh process, with nbdev's own runner (cells marked slow or gpu are skipped)."
import sys

import pytest

from notebooks import NOTEBOOKS, ROOT, succeed

RUN = '''
import sys
from pathlib import Path
from nbdev.config import get_config
from nbdev.test import test_nb
ok, _ = test_nb(Path(sys.argv[1]), skip_flags=get_config().tst_flags.split(), basepath=get_config().config_path)
sys.exit(not ok)
'''


@pytest.mark.parametrize('nb', NOTEBOOKS, ids=str)
def test_runs(nb, quiet, tmp_path):
    env = {**quiet, 'TMPDIR': str(tmp_path)}   # what a notebook leaves in a temporary folder goes with the test
    succeed([sys.executable, '-c', RUN, str(nb.path)], cwd=ROOT, env=env)
