"Training and recovery through torch.compile end where they end without it."
import shutil

import pytest
import torch
from torch.nn.utils import parameters_to_vector

from dsdist.data.sources import load_data
from dsdist.decoupled.wmdd import wmdd
from dsdist.train.squeeze import squeeze


@pytest.fixture(autouse=True)
def compile_anew(monkeypatch, tmp_path):
    "Not with kernels that an earlier run left behind: made for AVX-512 and run under AVX2, they gave NaN"
    monkeypatch.setenv('TORCHINDUCTOR_CACHE_DIR', str(tmp_path))


needs_compiler = pytest.mark.skipif(shutil.which('g++') is None and shutil.which('clang++') is None, reason='torch.compile needs a C++ compiler')


@needs_compiler
def test_compiled_recovery_is_the_same_within_a_tolerance():
    toy = load_data('toy')
    teacher = squeeze(toy, 'convnet-bn-w16', steps=30)
    plain, fused = (wmdd(toy, 2, teacher, steps=10, compiled=c) for c in (False, True))
    assert (plain.images - fused.images).abs().max() <= 2/255
    for a, b in zip(plain.card['losses'].values(), fused.card['losses'].values()): torch.testing.assert_close(torch.tensor(a), torch.tensor(b), rtol=1e-3, atol=1e-4)


@needs_compiler
@pytest.mark.parametrize('bf16', [False, True])
def test_compiled_training_is_the_same_within_a_tolerance(bf16):
    "The weights after six steps in pieces; their distance from the start is the scale"
    toy = load_data('toy')
    def weights(steps, compiled):
        t = squeeze(toy, 'convnet2-w8', steps=steps, batch_size=32, microbatch=16, compiled=compiled, bf16=bf16)
        return parameters_to_vector(t.model.parameters()).detach()
    start, plain, fused = weights(1, False), weights(6, False), weights(6, True)
    assert (plain - fused).norm() <= (.2 if bf16 else .01)*(plain - start).norm()
