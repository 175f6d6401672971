"""Folders of images as people have them: odd formats, hidden files, cameras held sideways, links, names, archives.

What a single function does is tested in its notebook; here whole commands run, as the shell calls them."""
import json, os, shutil, tarfile, warnings, zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import dsdist.__main__   # all commands
from dsdist.data.folders import IMAGE_FORMATS, folder_layout
from dsdist.data.sources import load_data
from dsdist.distilled import DistilledSet
from dsdist.shell.app import run_line


def noise(seed, side=8, channels=3): return np.random.default_rng(seed).integers(0, 256, (side, side, channels), dtype=np.uint8).squeeze()


def picture(path, seed, **how):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(noise(seed)).save(path, **how)


@pytest.fixture
def home(tmp_path, monkeypatch):
    "An empty working folder, which is also the home folder"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('HOME', str(tmp_path))
    return tmp_path


@pytest.fixture
def pets(home):
    "A plain folder: two parts, two classes, four images each"
    for part in ('train', 'test'):
        for c in ('cat', 'dog'):
            for i in range(4): picture(home/'pets'/part/c/f'{i}.png', 100*(part == 'test')+10*(c == 'dog')+i)
    return home/'pets'


def facts(line): return json.loads(run_line(f'data {line} --json', 0).out)


def quiet(name, **kw):
    "The data set, without the warnings about it"
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        return load_data(name, **kw)


def test_a_plain_folder_is_read_without_a_word(pets):
    assert run_line('data folder:pets', 0).err == ''
    assert facts('folder:pets')['train'] == 8


def test_every_format_is_read_and_the_rest_is_counted(pets):
    cat, written = pets/'train'/'cat', 0
    for kind, endings in IMAGE_FORMATS.items():
        for ending in endings:
            try: picture(cat/f'x{endings.index(ending)}{ending}', 5, format=kind)
            except (KeyError, OSError, ValueError): (cat/f'x{endings.index(ending)}{ending}').unlink(missing_ok=True)
            else: written += 1
    (cat/'.ipynb_checkpoints').mkdir()
    shutil.copy(cat/'0.png', cat/'.ipynb_checkpoints'/'0-checkpoint.png')
    for name in ('a.tga', 'b.tga', 'c.eps', 'Thumbs.db', '.DS_Store'): (cat/name).write_bytes(b'?')
    done = run_line('data folder:pets --size 8 --channels 3 --json', 0)
    assert written > 20 and json.loads(done.out)['train'] == 8+written
    assert 'pets: left out 2 .tga, 1 hidden, 1 .eps' in done.err


def test_hub_and_folder_see_the_same_images(pets, monkeypatch):
    import datasets
    monkeypatch.setattr(datasets.config, 'HF_DATASETS_CACHE', pets.parent/'cache')
    cat = pets/'train'/'cat'
    for ending in ('tif', 'gif', 'jfif', 'webp', 'ppm', 'jp2'): picture(cat/f'{ending}.{ending}', 3)
    exif = Image.Exif()
    exif[0x112] = 6
    picture(cat/'turned.jpg', 4, exif=exif)
    for hidden in ('.ipynb_checkpoints/0.png', '.0.png', '__MACOSX/0.png', 'notes.txt'):
        (cat/hidden).parent.mkdir(exist_ok=True)
        shutil.copy(cat/'0.png', cat/hidden)
    mine, theirs = quiet('folder:pets', channels=3), quiet(f'hf:{pets}', root=pets.parent/'cache', channels=3)
    order = lambda d: sorted(zip(d.labels.tolist(), (x.numpy().tobytes() for x in d.images)))
    assert (len(mine.train), mine.classes) == (15, theirs.classes)
    for part in ('train', 'test'): assert order(getattr(mine, part)) == order(getattr(theirs, part))


def test_links_bring_nothing_twice(pets):
    plain, cat = facts('folder:pets'), pets/'train'/'cat'
    for name, to in dict(self=cat, root=pets, part=pets/'train', other=pets/'train'/'dog', test=pets/'test'/'cat', above=pets.parent.parent, loop=cat/'loop').items():
        (cat/name).symlink_to(to, target_is_directory=True)
    done = run_line('data folder:pets --json', 0)
    assert json.loads(done.out)['fingerprint'] == plain['fingerprint']
    assert '6 links to folders that are read already' in done.err
    picture(pets.parent/'elsewhere'/'9.png', 9)
    (cat/'far').symlink_to(pets.parent/'elsewhere')
    assert facts('folder:pets')['train'] == 9
    shutil.move(pets/'train'/'dog', pets.parent/'dogs')   # a class that is a link itself
    (pets/'train'/'dog').symlink_to(pets.parent/'dogs')
    assert facts('folder:pets')['train'] == 9


def test_no_program_is_started(pets, monkeypatch):
    tools = pets.parent/'tools'
    tools.mkdir()
    for name in ('gs', 'gswin32c', 'djpeg'):
        (tools/name).write_text(f'#!/bin/sh\ntouch {tools}/started\n')
        (tools/name).chmod(0o755)
    monkeypatch.setenv('PATH', f"{tools}:{os.environ['PATH']}")
    monkeypatch.setattr('PIL.EpsImagePlugin.gs_binary', None)
    Image.fromarray(noise(1)).save(pets/'train'/'cat'/'0.png', 'EPS')
    assert 'pets/train/cat/0.png is not an image that can be read' in run_line('data folder:pets', 2).err
    assert not (tools/'started').exists()


def test_too_many_pixels_are_called_that(pets, monkeypatch):
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 20)
    assert 'too many pixels (Image size (64 pixels) exceeds limit' in run_line('data folder:pets', 2).err


def test_a_name_that_is_not_text_stops_before_the_training(pets):
    for part in ('train', 'test'): os.rename(pets/part/'dog', os.fsencode(pets/part)+b'/caf\xe9')
    for line in ('data folder:pets', 'squeeze folder:pets --arch convnet-bn-w8 --steps 2 --out new'):
        said = run_line(line, 2).err
        assert r"not UTF-8, b'caf\xe9': rename it" in said and said.count('\n') == 1
    assert not Path('new').exists()
    os.rename(pets, os.fsencode(pets.parent)+b'/caf\xe9')
    assert 'not UTF-8' in run_line('data folder:caf\udce9', 2).err


def test_a_name_in_two_spellings_is_one_class(pets):
    os.rename(pets/'train'/'dog', pets/'train'/'caf\xe9')
    os.rename(pets/'test'/'dog', pets/'test'/'cafe\u0301')
    assert [c['class'] for c in facts('folder:pets')['classes']] == ['caf\xe9', 'cat']


def test_all_bad_files_in_one_sentence(pets):
    for i in range(3): (pets/'train'/'cat'/f'{i}.png').write_bytes(b'\x89PNG')
    (pets/'test'/'dog'/'0.png').write_bytes((pets/'test'/'dog'/'0.png').read_bytes()[:60])
    picture(pets/'test'/'cat'/'9.png', 9)
    Image.new('RGB', (9, 9)).save(pets/'test'/'cat'/'9.png')
    said = run_line('data folder:pets', 2).err
    assert said.startswith('dsdist: 5 of 17 images cannot be used: pets/train/cat/0.png is not an image') and said.endswith('(and 2 more)\n')


def test_a_folder_without_a_test_part_is_divided_and_says_so(pets):
    shutil.rmtree(pets/'test')
    done = run_line('data folder:pets --json', 0)
    assert 'pets has no test part: 2 of 8 images, a share of 0.2 of each class, are held out for the test (--holdout)' in done.err
    assert [(c['train'], c['test']) for c in json.loads(done.out)['classes']] == [(3, 1)]*2
    inside = facts('folder:pets/train')   # the same division, by the names inside
    assert inside['fingerprint'] == json.loads(done.out)['fingerprint'] == facts('folder:pets')['fingerprint']
    assert facts('folder:pets --holdout .5')['test'] == 4
    assert 'neither a sub-folder test' in run_line('data folder:pets --holdout 0', 2).err
    assert '--holdout must be from 0 to below 1, got 1.0' in run_line('data folder:pets --holdout 1', 2).err


@pytest.mark.parametrize('name', ['valid', 'validation', 'val'])
def test_parts_by_other_names(pets, name):
    plain = facts('folder:pets')
    os.rename(pets/'test', pets/name)
    assert facts('folder:pets')['fingerprint'] == plain['fingerprint']
    shutil.copytree(pets/name, pets/'test')
    done = run_line('data folder:pets', 0)
    assert f'pets: left out 1 folder {name}' in done.err


@pytest.mark.parametrize('kind, name', [('zip', 'pets.zip'), ('tar', 'pets.tar'), ('gztar', 'pets.tar.gz'), ('xztar', 'pets.tar.xz')])
def test_an_archive_is_the_folder_in_it(pets, kind, name):
    plain = facts('folder:pets')
    shutil.make_archive('pets', kind, '.', 'pets')
    shutil.rmtree(pets)
    before = {p for p in Path().rglob('*') if '.cache' not in p.parts}
    assert facts(f'folder:{name}')['fingerprint'] == plain['fingerprint'] == facts(f'folder:{name}')['fingerprint']
    assert {p for p in Path().rglob('*') if '.cache' not in p.parts} == before
    assert f'did you mean folder:{name}?' in run_line(f'data {name}', 2).err


def test_an_archive_writes_nothing_outside(home):
    with zipfile.ZipFile('evil.zip', 'w') as z: z.writestr('../../../../out.png', 'x')
    with tarfile.open('evil.tar', 'w') as t:
        m = tarfile.TarInfo('train/cat')
        m.type, m.linkname = tarfile.SYMTYPE, str(home)
        t.addfile(m)
        t.addfile(tarfile.TarInfo('train/cat/out.png'))
    for name in ('evil.zip', 'evil.tar'): run_line(f'data folder:{name}', 2)
    assert not [*home.parent.rglob('out.png')]


def test_the_test_images_are_the_same_for_all_commands(pets):
    shutil.rmtree(pets/'test')
    run_line('squeeze folder:pets --arch convnet-bn-w8 --steps 2 --seed 7 --out teacher', 0)
    run_line('distill random folder:pets --ipc 1 --seed 3 --out set', 0)
    first = {Path(f).name for f in folder_layout(pets).test_files}
    assert first == {Path(f).name for f in folder_layout(pets).test_files}
    assert len(DistilledSet.load('set').images) == 2


def test_an_exported_set_comes_back(pets):
    run_line('distill random folder:pets --ipc 2 --out set', 0)
    run_line('export set --to folder --out pngs', 0)
    made, back = DistilledSet.load('set'), DistilledSet.load('pngs')
    assert back.fingerprint == made.quantized().fingerprint and back.card == made.card
    as_data = facts('folder:pngs')   # and as images of anyone's, which have no test part
    assert (as_data['train'], as_data['test']) == (2, 2)
