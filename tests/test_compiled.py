"Recovery through torch.compile ends where recovery without it ends."
import shutil

import pytest
import torch

from dsdist.data.sources import load_data
from dsdist.decoupled.wmdd import wmdd
from dsdist.train.squeeze import squeeze


@pytest.mark.skipif(shutil.which('g++') is None and shutil.which('clang++') is None, reason='torch.compile needs a C++ compiler')
def test_compiled_recovery_is_the_same_within_a_tolerance():
    toy = load_data('toy')
    teacher = squeeze(toy, 'convnet-bn-w16', steps=30)
    plain, fused = (wmdd(toy, 2, teacher, steps=10, compiled=c) for c in (False, True))
    assert (plain.images - fused.images).abs().max() <= 2/255
    for a, b in zip(plain.card['losses'].values(), fused.card['losses'].values()): torch.testing.assert_close(torch.tensor(a), torch.tensor(b), rtol=1e-3, atol=1e-4)
