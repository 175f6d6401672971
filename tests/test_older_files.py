"""What the version before artifacts has saved is read, to the bit. `tests/older/` was written by commit 1ab90b6, on the data `toy`."""
import json, shutil
from pathlib import Path

import pytest

from dsdist.core import fingerprint
from dsdist.data.sources import load_data
from dsdist.decoupled.relabel import load_labels
from dsdist.decoupled.statistics import cached_statistics
from dsdist.decoupled.wmdd import wmdd
from dsdist.distilled import DistilledSet
from dsdist.evaluation.result import RobustnessResult
from dsdist.evaluation.scorecard import Scorecard
from dsdist.files import artifact_kind
from dsdist.train.guard import curvature_ladder
from dsdist.train.squeeze import load_teacher

OLDER = Path(__file__).parent/'older'
CASES = {'teacher': ('teacher', load_teacher, '015e48ee2704561c'),
         'set': ('set', DistilledSet.load, 'f429c8c6afa7a9c1'),
         'set-with-labels': ('set', DistilledSet.load, '42faa528dcb43051'),
         'labels-fp16.safetensors': ('labels', load_labels, '02129cf3c16b9c08'),
         'labels-int8.safetensors': ('labels', load_labels, 'd6a3dcea4f486d97'),
         'labels-top-k.safetensors': ('labels', load_labels, 'f742c8555c0a163d')}


@pytest.mark.parametrize('name', CASES)
def test_is_read_to_the_bit(name, tmp_path):
    kind, load, mark = CASES[name]
    found = load(OLDER/name)
    assert artifact_kind(OLDER/name) == kind and found.fingerprint == mark
    found.save(tmp_path/name)
    assert load(tmp_path/name).fingerprint == mark, "saved anew, as an artifact, it is the same"


def test_cut_off_is_noticed(tmp_path):
    from dsdist.core import UserError
    for name, (_, load, _) in CASES.items():
        file = next((OLDER/name).glob('*.safetensors')) if (OLDER/name).is_dir() else OLDER/name
        if (OLDER/name).is_dir(): shutil.copytree(OLDER/name, tmp_path/name)
        torn = tmp_path/name/file.name if (OLDER/name).is_dir() else tmp_path/name
        torn.write_bytes(file.read_bytes()[:-1])
        with pytest.raises(UserError): load(tmp_path/name)


def test_teacher_still_teaches(tmp_path):
    "Its card spells a setting as it did then, and says the same"
    older, toy = load_teacher(OLDER/'teacher'), load_data('toy')
    older.save(tmp_path/'anew')
    anew = load_teacher(tmp_path/'anew')
    marks = [[t.fingerprint for t in curvature_ladder(teacher, toy, steps=2)] for teacher in (older, anew)]
    assert marks[0] == marks[1]
    sets = [wmdd(toy, 1, teacher, steps=2).fingerprint for teacher in (older, anew)]
    assert sets[0] == sets[1]


def test_statistics_are_not_computed_again(tmp_path):
    teacher, toy = load_teacher(OLDER/'teacher'), load_data('toy')
    shutil.copytree(OLDER/'statistics', tmp_path/'cache')
    before = {p: p.stat().st_mtime_ns for p in (tmp_path/'cache').rglob('*')}
    found = cached_statistics(teacher, toy, cache=tmp_path/'cache')
    assert fingerprint(found.features, *found.means, *found.within, *found.between) == 'f492fd3354d5737a'
    assert {p: p.stat().st_mtime_ns for p in (tmp_path/'cache').rglob('*')} == before


def test_results():
    score = Scorecard.load(OLDER/'scorecard.json')
    assert score.rows == json.loads((OLDER/'scorecard.json').read_text())
    result = RobustnessResult.load(OLDER/'robustness.json')
    assert result.record['eps'] == [.05, .1] and result.plot() is not None
