"The report of a demo run, in a browser: the pictures are there, the table and its verdict are read, nothing is fetched."
import pytest

import browser
from dsdist.demo import run_demo
from dsdist.evaluation.students import Protocol


@pytest.fixture(scope='module')
def seen(tmp_path_factory):
    if not browser.browser(): pytest.skip('no chromium, chromium-browser or google-chrome is installed')
    out = tmp_path_factory.mktemp('report')/'demo'
    run_demo(out, data='toy', ipc=2, seeds=2, archs=('convnet-w16',), protocols=(Protocol('quick', steps=20),),
         teacher=dict(arch='convnet-bn-w16', steps=40), settings=dict(steps=10))
    return browser.look(out, 'report.html')


def test_report_is_whole(seen):
    browser.check(seen)
    assert len(seen['images']) >= 3, "the set, the features and the curves"


def test_report_has_the_verdict(seen):
    for words in ('wmdd', 'random real', 'nearest real', 'full data', 'convnet-w16', 'quick', 'fingerprint'): assert words in seen['text']
