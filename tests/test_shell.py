"""The shell: what it prints, where, its exit codes, and that a mistake is one sentence and changes nothing.

Most commands run in this process, through the same `main` that the shell calls; a few run as the installed command."""
import hashlib, inspect, json, os, re, shutil, signal, subprocess, sys, sysconfig, tempfile, time
from functools import partial
from pathlib import Path
from typing import get_args, get_origin

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

import dsdist
from dsdist.__main__ import main
from dsdist.distilled import DistilledSet
from dsdist.evaluation.students import PROTOCOLS
from dsdist.matching.paths import Experts, expert_file, load_experts, store_points
from dsdist.methods import METHODS
from dsdist.reader import method_options
from dsdist.shell.app import app, run_line
from dsdist.shell.make import cli_experts, cli_squeeze
from dsdist.train.squeeze import Teacher, load_teacher

DSDIST = str(Path(sysconfig.get_path('scripts'))/'dsdist')
NET = 'convnet-w8'


def fine(line):
    "Standard output of a command that must succeed"
    return run_line(line, 0).out


def files(folder):
    "Every path below `folder`, with the hash of its content and the time of its last change"
    return {str(p): (p.stat().st_mtime_ns, hashlib.sha256(p.read_bytes()).hexdigest() if p.is_file() else '') for p in Path(folder).rglob('*')}


def picture(path, color, side=8):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new('RGB', (side, side), color).save(path)


@pytest.fixture(scope='module')
def shop(tmp_path_factory):
    "A folder with a teacher, a distilled set, a scorecard, and broken relatives of them; the working folder of this file"
    home, here = tmp_path_factory.mktemp('shop'), Path.cwd()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    os.chdir(home)
    fine('squeeze toy --arch convnet-bn-w8 --steps 20 --out teacher')
    fine('distill wmdd toy --ipc 2 --teacher teacher --steps 5 --out small')
    fine(f'evaluate small toy --arch {NET} --seeds 1 --no-baselines --out score.json')
    fine('relabel small --teacher teacher --views 20 --out labels.safetensors')
    fine('relabel small --teacher teacher --kind mean --out mean')
    Path('cut.safetensors').write_bytes(Path('labels.safetensors').read_bytes()[:-7])
    fine('squeeze toy --arch convnet-bn-w8 --steps 3 --out novice')
    t = load_teacher('teacher')
    Teacher(t.model, dict(t.card, classes=['green', 'red', 'blue'])).save('turned')
    shutil.copytree('small', 'cut')
    Path('cut/set.safetensors').write_bytes(Path('small/set.safetensors').read_bytes()[:-7])
    shutil.copytree('teacher', 'cut-teacher')
    Path('cut-teacher/teacher.safetensors').write_bytes(Path('teacher/teacher.safetensors').read_bytes()[:-7])
    for part in ('train', 'test'):
        for c, color in (('cat', 'red'), ('dog', 'blue')):
            for i in range(3): picture(Path('pets')/part/c/f'{i}.png', color)
    shutil.copytree('pets', 'torn')
    torn = Path('torn/train/dog/1.png')
    torn.write_bytes(torn.read_bytes()[:40])
    shutil.copytree('pets', 'mixed')
    picture(Path('mixed/train/cat/9.png'), 'red', side=9)
    Path('photos').mkdir(); Path('photos/me.txt').write_text('hello')
    few = f'--arch {NET} --epochs 3 --batch-size 20'
    for name, line in dict(paths=f'toy {few} --n 2', whitened=f'toy {few} --n 1 --space zca', normed='toy --arch convnet-bn-w8 --epochs 3 --n 1 --batch-size 20',
                           strange=f'digits {few} --n 1', large=f'toy --size 16 {few} --n 1').items(): fine(f'experts {line} --out {name}')
    for name in ('cut-paths', 'changed-paths'): shutil.copytree('paths', name)
    Path('cut-paths/expert-0001.safetensors').write_bytes(Path('paths/expert-0001.safetensors').read_bytes()[:-9])
    for file in Path('changed-paths').glob('expert-*'):
        weights = load_file(file)
        save_file({k: v + 1 for k, v in weights.items()}, file)
    lost(load_experts('paths'), 'nan-paths')
    fine(f'{MTT} --experts paths --log-to log --out followed')
    yield home
    os.chdir(here)
    torch.set_num_threads(threads)


def lost(experts, path):
    "Save experts whose weights are no longer finite after the first epoch"
    card = json.loads(json.dumps(experts.card))
    with tempfile.TemporaryDirectory() as home:
        for number, about in enumerate(card['experts']):
            points = experts.points(number, [0, 1, 2, 3])
            points[1:, 5] = float('nan')
            about |= store_points(expert_file(home, number), points, card['codec'])[0]
        Experts(card, home, experts.space).save(path)


MTT = 'distill mtt toy --ipc 1 --latest 1 --iterations 3 --inner 2'

WRONG = [
    # what exists, what does not
    ('distll wmdd toy', "no such command 'distll'"),
    ('distill wmdd', "argument 'DATA'"),
    ('relabel small --out new', "missing option '--teacher'"),
    ('relabel small --teacher teacher', "missing option '--out'"),
    ('relabel small --teacher teacher --out new', 'new must be a .safetensors file: name it new.safetensors'),
    ('relabel small --teacher teacher --kind best --out new', "unknown kind of labels 'best': choose one of stored, mean, replay"),
    ('relabel small --teacher teacher --coding jpeg --out new', "unknown coding 'jpeg': choose one of fp16, int8, top-k"),
    ('relabel small --teacher teacher --protocol warm --out new', f"unknown protocol 'warm': choose one of {', '.join(PROTOCOLS)}"),
    ('relabel small --teacher teacher --device abacus --out new', "unknown device 'abacus'"),
    ('distill wmdd toy --published wmdd-mnist --teacher teacher --out new', "unknown published configuration 'wmdd-mnist': choose one of sre2l-imagenet, "),
    ('squeeze toy --published wmdd-mnist --out new', "unknown published configuration 'wmdd-mnist'"),
    ('distill alchemy toy --out new', f"unknown method 'alchemy': choose one of {', '.join(METHODS)}"),
    ('attack teacher toy --preset mild --out new', "unknown preset 'mild': choose one of quick, guard"),
    ('squeeze toy --objective bump --out new', "unknown objective 'bump': choose one of bend"),
    ('data toys', "unknown data set 'toys': choose one of digits, toy"),
    ('data toys', 'did you mean toy?'),
    ('distill wmd toy --out new', 'did you mean wmdd?'),
    ('evaluate small toy --protocol hrad --out new', 'did you mean hard?'),
    ('evaluate small toy --arch resnet19 --out new', 'did you mean resnet18?'),
    ('attack teacher toy --preset quik --out new', 'did you mean quick?'),
    ('squeeze toy --arch resnet19 --out new', "unknown network 'resnet19'"),
    ('squeeze toy --optimizer newton --out new', "unknown optimizer 'newton': choose one of adamw, sgd"),
    ('squeeze toy --device abacus --out new', "unknown device 'abacus'"),
    ('squeeze toy --device cuda:99 --out new', "--device 'cuda:99' asked for, but this machine has"),
    ('distill wmdd toy --teacher teacher --device abacus --out new', "unknown device 'abacus'"),
    ('evaluate small toy --protocol warm --out new', f"unknown protocol 'warm': choose one of {', '.join(PROTOCOLS)}"),
    ('evaluate small toy --arch resnet19 --out new', "unknown network 'resnet19'"),
    ('evaluate small toy --device abacus --out new', "unknown device 'abacus'"),
    ('export small --to gif --out new', "unknown form 'gif': choose one of folder, parquet"),
    ('distill wmdd toy --teacher teacher --start gray --out new', "unknown start 'gray': choose one of mean, real, patches, noise"),
    # numbers that cannot work
    ('distill wmdd toy --ipc 0 --teacher teacher --out new', '--ipc must be a whole number of at least 1, got 0'),
    ('distill random toy --ipc 0 --out new', '--ipc must be a whole number of at least 1, got 0'),
    ('distill wmdd toy --ipc 61 --teacher teacher --out new', "--ipc 61 is too many: class 'red' of toy has only 60 training images"),
    ('distill wmdd toy --ipc ten --out new', "invalid value for '--ipc'"),
    ('distill wmdd toy --teacher teacher --steps 0 --out new', '--steps must be 1 or more, got 0'),
    ('distill wmdd toy --teacher teacher --lr -1 --out new', '--lr must be above 0'),
    ('distill random toy --steps 5 --out new', 'no such option: --steps'),
    ('distill nearest toy --bn 1 --teacher teacher --out new', 'no such option: --bn'),
    ('demo --ipc 0 --out new', '--ipc must be a whole number'),
    ('demo --ipc 125 --out new', '--ipc 125 is too many'),
    ('evaluate small toy --seeds 0 --out new', '--seeds must be 1 or more, got 0'),
    ('evaluate small toy --protocol soft --out new', 'give the --teacher'),
    ('attack teacher toy --eps 0 --out new', '--eps must be above 0 and at most 1, got 0.0'),
    ('attack teacher toy --eps 8 --out new', 'at most 1'),
    ('attack teacher toy --n 0 --out new', '--n must be 1 or more'),
    ('squeeze toy --objective bend:weight=1.5 --out new', 'the objective bend: weight must be from 0 to below 1'),
    ('data toy --size 0', '--size must be 1 or more, got 0'),
    ('data toy --channels 2', '--channels must be 1'),
    ('data folder:pets --holdout 1', '--holdout must be from 0 to below 1, got 1.0'),
    ('relabel small --teacher teacher --views 0 --out new', '--views must be 1 or more, got 0'),
    ('relabel small --teacher teacher --kind mean --views 0 --out new', '--views must be 1 or more, got 0'),
    ('relabel small --teacher teacher --coding top-k --k 4 --out new.safetensors', '--k must be from 1 to the number of classes, 3'),
    # options that mean nothing there
    ('relabel small --teacher teacher --kind replay --protocol soft --out new', '--kind replay has no setting --protocol: it takes none'),
    ('relabel small --teacher teacher --kind replay --seed 0 --out new', '--kind replay has no setting --seed'),
    ('relabel small --teacher teacher --kind mean --coding fp16 --out new', '--kind mean has no setting --coding: it takes --protocol, --views, --seed'),
    ('relabel small --teacher teacher --kind mean --k 2 --out new', '--kind mean has no setting --k'),
    ('relabel small --teacher teacher --coding int8 --k 2 --out new', '--k belongs to --coding top-k'),
    (f'evaluate small toy --arch {NET} --labels labels.safetensors --out new', 'no --protocol uses the --labels'),
    ('distill random toy --published wmdd-imagenet --out new', 'no such option: --published'),
    ('distill random toy --teacher teacher --out new', 'no such option: --teacher'),
    ('distill sre2l toy --teacher teacher --shard 0 --out new', '--shard must be 1 or more, got 0'),
    ('distill wmdd toy --teacher teacher --compat --match none --no-per-class --out new', '--compat is the released loss, which decides on --match and --no-per-class itself'),
    ('distill wmdd toy --teacher teacher --cutmix 1 --out new', 'crops, flips and shifts, not --cutmix or --mixup'),
    ('distill sre2l toy --published cda-imagenet --teacher teacher --out new', 'of the method cda, not of sre2l'),
    ('distill wmdd toy --published wmdd-imagenet --match sliced --out new', 'wmdd-imagenet needs the --teacher'),
    ('squeeze toy --published sre2l-imagenet --out new', "no recipe for its teacher, which is torchvision's resnet18"),
    ('experts toy --published wmdd-imagenette --out new', 'wmdd-imagenette has no experts: it is a configuration of the method wmdd, which takes no experts'),
    ('experts toy --published dsa-svhn --out new', 'dsa-svhn has no experts'),
    ('experts toy --published mtt-mnist --out new', "unknown published configuration 'mtt-mnist'"),
    ('experts toy --published mtt-cifar10-zca --out new', 'mtt-cifar10-zca depends on the images per class: give --ipc 1, 10 or 50'),
    ('experts toy --published tesla-cifar10 --ipc 7 --out new', 'tesla-cifar10 depends on the images per class: give --ipc 1, not 7'),
    ('experts toy --published datm-cifar10 --ipc 7 --out new', 'give --ipc 1, 10, 50, 500 or 1000, not 7'),
    ('experts toy --ipc 1 --out new', '--ipc belongs to --published'),
    ('squeeze toy --published mtt-cifar10 --out new', 'mtt-cifar10 has no teacher: it is a configuration of the method mtt, which takes no teacher'),
    ('distill mtt toy --published mtt-cifar10 --out new', 'mtt-cifar10 needs the --experts that belong to it: see dsdist experts --published mtt-cifar10 --ipc 10'),
    ('distill datm toy --published datm-cifar10 --out new', 'see dsdist experts --published datm-cifar10\n'),
    ('distill mtt toy --published mtt-cifar100 --ipc 50 --experts paths --out new', 'mtt-cifar100 depends on the images per class: give --ipc 10, not 50'),
    # trajectories
    (f'{MTT} --experts strange --out new', 'experts of another class order cannot be used'),
    (f'{MTT} --experts large --out new', 'the experts take 3 x 16 x 16 images, the data are 3 x 8 x 8'),
    (f'{MTT} --experts teacher --out new', 'teacher is not a set of experts: it is a teacher'),
    (f'{MTT} --experts cut-paths --out new', 'cut-paths/expert-0001.safetensors holds'),
    (f'{MTT} --experts changed-paths --out new', 'are not those on the card'),
    (f'{MTT} --experts nan-paths --out new', 'has weights that are not finite after epoch'),
    (f'{MTT} --experts paths --latest 7 --out new', 'but the experts have 3 epochs: set --latest to 1, or train them for 9 epochs'),
    (f'{MTT} --experts paths --ahead 9 --out new', 'but the experts have 3 epochs: set --ahead to less'),
    (f'{MTT} --experts paths --earliest 2 --out new', '--earliest must be --latest or before, got 2 and 1'),
    (f'{MTT} --experts paths --inner 0 --out new', '--inner must be 1 or more, got 0'),
    (f'{MTT} --experts paths --gradient stopgrad --truncate 2 --out new', "--gradient='stopgrad' is the same as --truncate=1: leave --truncate out"),
    (f'{MTT} --experts normed --microbatch 2 --out new', 'do not split into micro-batches: leave --microbatch out'),
    (f'{MTT} --experts paths --cutmix 1 --microbatch 1 --out new', 'cannot be cut into micro-batches: leave --microbatch out'),
    (f'{MTT} --experts whitened --canvas 2 --out new', "--canvas=2 cuts images at any place, and the space 'zca' of the experts"),
    (f'{MTT} --experts paths --canvas 9 --out new', '--canvas=9 begins with 81 real images of each class'),
    (f'{MTT} --experts paths --canvas-samples 2 --out new', '--canvas-samples is for canvases: give --canvas as well'),
    (f'{MTT} --experts paths --log-to photos --out new', "'photos' holds something else: name a new or empty folder"),
    (f'{MTT} --experts paths --inner 3 --log-to log --out new', "'log' belongs to another run: name a new folder"),
    (f'{MTT} --experts paths --tracker wandb --out new', '--tracker needs --log-to: name a folder'),
    (f'{MTT} --experts paths --log-to new-log --tracker neptune --out new', "unknown tracker 'neptune': choose one of tensorboard, wandb"),
    (f'{MTT} --experts paths --out new --log-to new/log', 'new cannot be written: this run reads new/log, so choose another place'),
    ('distill datm toy --latest 1 --experts paths --widen-steps 2 --widen-from 3 --out new', '--widen-from must be from 0 (--earliest) to 1 (--latest), got 3'),
    ('distill random toy --log-to new-log --out new', 'no such option: --log-to'),
    ('experts toy --out paths', 'paths exists already'),
    # files that are missing
    ('data folder:nowhere', 'nowhere does not exist'),
    ('distill wmdd toy --teacher nowhere --out new', 'nowhere is not a teacher: there is no such file or folder'),
    ('evaluate nowhere toy --out new', 'nowhere is not a distilled set: there is no such file or folder'),
    ('show nowhere', 'nowhere is not a distilled set'),
    ('export nowhere --out new', 'nowhere is not a distilled set'),
    ('report small nowhere.json --out new', 'nowhere.json'),
    ('show pets', 'pets is not a distilled set: it has no card.json'),
    ('show teacher', 'teacher is not a distilled set'),
    ('distill wmdd toy --teacher small --out new', 'small is not a teacher: it is a distilled set'),
    ('relabel nowhere --teacher teacher --out new', 'nowhere is not a distilled set'),
    ('attack nowhere toy --out new', 'nowhere is not a distilled set'),
    ('relabel small --teacher nowhere --out new', 'nowhere is not a teacher'),
    (f'evaluate small toy --arch {NET} --protocol soft --labels nowhere --no-baselines --out new', 'nowhere is not a file of labels: there is no such file or folder'),
    (f'evaluate small toy --arch {NET} --protocol soft --labels small/set.safetensors --no-baselines --out new', 'small/set.safetensors is not a file of labels'),
    ('attack teacher toy --twin teacher --twin small --out new', '--twin small is not a teacher'),
    ('attack teacher toy --extra math:floor --extra math:floor --out new', 'two attacks have the same name: floor, floor'),
    ('attack teacher toy --reference 93 --out new', '--reference must be between 0 and 1, got 93'),
    # files that are damaged
    ('data folder:torn', 'torn/train/dog/1.png'),
    ('squeeze folder:torn --out new', 'torn/train/dog/1.png'),
    ('distill wmdd folder:torn --teacher teacher --out new', 'torn/train/dog/1.png'),
    ('data folder:mixed', 'mixed/train/cat/9.png'),
    ('show cut', 'cut/set.safetensors holds'),
    ('evaluate cut toy --out new', 'it was cut off or replaced'),
    ('export cut --out new', 'it was cut off or replaced'),
    ('distill wmdd toy --teacher cut-teacher --out new', 'it was cut off or replaced'),
    ('relabel cut --teacher teacher --out new.safetensors', 'it was cut off or replaced'),
    ('attack cut toy --out new', 'it was cut off or replaced'),
    ('relabel small --teacher cut-teacher --out new.safetensors', 'it was cut off or replaced'),
    (f'evaluate small toy --arch {NET} --protocol soft --labels cut.safetensors --no-baselines --out new', 'cut.safetensors is not a safetensors file, or was cut off'),
    # things that do not belong together
    ('distill wmdd toy --ipc 2 --teacher turned --out new', "the teacher's classes are [green, red, blue], the data's are [red, green, blue]"),
    ('distill nearest toy --ipc 2 --teacher turned --out new', 'another class order'),
    ('evaluate small toy --teacher turned --protocol soft --out new', 'another class order'),
    ('distill wmdd digits --teacher teacher --out new', 'another class order'),
    ('evaluate small digits --out new', 'small does not belong to digits'),
    ('attack small digits --out new', 'small does not belong to digits'),
    ('attack teacher digits --out new', 'another class order'),
    ('relabel small --teacher turned --out new.safetensors', 'another class order'),
    ('relabel small --teacher turned --kind replay --out new', 'another class order'),
    ('relabel small --teacher novice --out new.safetensors', 'the set was relabeled with teacher'),
    ('relabel small --teacher novice --kind mean --out new', 'the set was relabeled with teacher'),
    (f'evaluate small toy --arch {NET} --protocol soft --labels labels.safetensors --out new', 'the --labels are those of the set alone'),
    (f'evaluate small toy --arch {NET} --protocol soft --labels labels.safetensors --teacher novice --out new', 'the baselines must have the same'),
    (f'evaluate small toy --arch {NET} --protocol hard --protocol rded --labels labels.safetensors --no-baselines --out new', "other views than those of protocol 'rded'"),
    (f'evaluate mean toy --arch {NET} --protocol soft --labels labels.safetensors --no-baselines --out new', 'the labels were stored for the set'),
    (f'evaluate mean toy --arch {NET} --protocol own --out new', 'the baselines have none'),
    (f'evaluate small toy --arch {NET} --protocol own --no-baselines --out new', 'the set has none'),
    ('report small score.json --data digits --out new', 'small does not belong to digits'),
    ('report small score.json --teacher teacher --out new', '--teacher needs --data'),
    # places that are taken, or are none
    ('squeeze toy --out teacher', 'teacher exists already'),
    ('distill wmdd toy --teacher teacher --out small', 'small exists already'),
    ('evaluate small toy --out score.json', 'score.json exists already'),
    ('attack teacher toy --out score.json', 'score.json exists already'),
    ('attack teacher toy --out new --plot new', 'name the same file'),
    ('attack teacher toy --out teacher/new', 'this run reads teacher'),
    ('show small --out score.json', 'score.json exists already'),
    # --force replaces what dsdist wrote, and of the same kind; never what a run reads
    ('distill wmdd toy --teacher teacher --out teacher --force', 'this run reads teacher'),
    ('distill wmdd toy --teacher teacher --out mean/set.safetensors --force', 'mean/set.safetensors'),
    ('distill random toy --out teacher --force', 'teacher is a teacher, not a distilled set'),
    ('distill random folder:pets --out pets --force', 'this run reads pets'),
    ('squeeze toy --out small --force', 'small is a distilled set, not a teacher'),
    ('squeeze folder:pets --out pets --force', 'this run reads pets'),
    ('relabel small --teacher teacher --kind mean --out teacher --force', 'this run reads teacher'),
    ('relabel small --teacher teacher --kind mean --out small --force', 'this run reads small'),
    ('export small --out small --force', 'this run reads small'),
    ('export small --out teacher --force', 'teacher is a teacher, not an exported set'),
    ('show small --out small/set.safetensors --force', 'this run reads small'),
    ('report small score.json --out score.json --force', 'this run reads score.json'),
    ('evaluate small toy --out labels.safetensors --force', 'labels.safetensors is a file of labels, not a scorecard'),
    ('evaluate small folder:pets --out pets/new --force', 'this run reads pets'),
    ('attack teacher toy --out score.json --force', 'score.json is a scorecard, not a file of attacks'),
    ('attack teacher toy --plot teacher/card.json --out new --force', 'this run reads teacher'),
    ('export small --out pets', 'pets exists already'),
    ('relabel small --teacher teacher --out labels.safetensors', 'labels.safetensors exists already'),
    ('relabel small --teacher teacher --kind mean --out small', 'this run reads small'),
    ('relabel small --teacher teacher --out mean --force', 'mean is a folder: name a file'),
    ('relabel small --teacher teacher --kind mean --out photos --force', 'photos is a folder that dsdist did not write'),
    ('report small score.json --out score.json', 'this run reads score.json'),
    ('demo --out small', 'small exists already'),
    ('squeeze toy --out photos --force', 'photos is a folder that dsdist did not write'),
    ('distill wmdd toy --out photos --force', 'photos is a folder that dsdist did not write'),
    ('demo --out . --force', 'the folder you are in'),
    ('evaluate small toy --out small --force', 'small is a folder: name a file'),
    ('export small --to parquet --out new', 'ends in .parquet'),
    ('squeeze toy --out score.json/new', 'score.json is not a folder'),
    # files of other projects
    ('import nowhere.pt --from vico --data toy --space zca --out new', 'nowhere.pt is missing'),
    ('import torn/train/dog/1.png --from vico --data toy --space zca --out new', 'is not a file that torch.save wrote'),
    ('import photos --from experts --data toy --space zca --out new', 'there is no replay_buffer_*.pt'),
    ('import a.pt --from ftd --data toy --space zca --out new', "unknown project 'ftd': choose one of mtt, datm, vico, experts"),
    ('import a.pt --data toy --space zca --out new', "missing option '--from'"),
    ('import a.pt --from vico --data toy --space zca --lr .1 --out new', '--from vico has no setting --lr: it takes --number'),
    ('import a.pt --from experts --data toy --space zca --arch resnet19 --out new', "unknown network 'resnet19'"),
    ('import a.pt --from vico --data toys --space zca --out new', "unknown data set 'toys'"),
    ('import a.pt --from vico --data toy --space zca --out teacher --force', 'teacher is a teacher, not a distilled set'),
    ('import photos/me.txt --from vico --data toy --space zca --out photos --force', 'this run reads photos/me.txt'),
]


@pytest.mark.parametrize('line, words', WRONG, ids=[line for line, _ in WRONG])
def test_one_sentence_exit_2_nothing_changed(shop, line, words):
    before = files(shop)
    code, out, err = run_line(line)
    assert (code, out) == (2, '') and words in err
    assert err.startswith('dsdist: ') and err.endswith('\n') and err.count('\n') == 1 and 'Traceback' not in err
    assert files(shop) == before


# what must be typed for a command to look at its other options, and no more
TYPED = {'squeeze': 'squeeze toy --out new', 'experts': 'experts toy --out new', 'evaluate': 'evaluate small toy --out new', 'attack': 'attack small toy --out new',
         'relabel': 'relabel small --teacher teacher --out new', 'data': 'data toy', 'demo': 'demo --out new',
         **{f'distill {m}': f'distill {m} toy --out new' for m in METHODS}}


FORM = {'size': (1, 0), 'channels': (1, 2), 'holdout': (1, 1)}   # option: how many values it takes, and one out of its range
OTHERS = {'distill': {'ipc': (1, 0), 'seed': (1, None), **FORM}, 'squeeze': {'seed': (1, None), **FORM}, 'experts': {'ipc': (1, 0), 'seed': (1, None), **FORM}, 'data': FORM, 'demo': {'ipc': (1, 0), 'seed': (1, None)},
          'evaluate': {'seeds': (1, 0), 'seed': (1, None), **FORM}, 'attack': {'seeds': (1, 0), 'n': (1, 0), 'eps': (1, 0), 'reference': (1, 2), 'seed': (1, None), **FORM},
          'relabel': {'views': (1, 0), 'k': (1, None), 'seed': (1, None)}}


SETTINGS = {name: inspect.signature(f).parameters['settings'].default.options for name, f in dict(squeeze=cli_squeeze, experts=cli_experts).items()}


def impossible(command):
    "Each option of a command that takes numbers, with a text that is none, and with a number out of its range"
    kind, _, method = command.partition(' ')
    read = method_options(method) if method else SETTINGS.get(kind, {})
    asked = {}
    for name, o in read.items():
        if get_origin(o.hint) is tuple and ... not in get_args(o.hint): values = len(get_args(o.hint))
        elif {int, float} & {o.hint, *get_args(o.hint)}: values = 1
        else: continue
        low = o.limits.get('least', o.limits.get('above'))
        asked[name] = values, None if low is None else low - ('least' in o.limits)
    for name, (values, wrong) in (OTHERS[kind] | asked).items():
        option = '--' + name.replace('_', '-')
        yield option, ' '.join(['three']*values)
        if wrong is not None: yield option, ' '.join([str(wrong)]*values)


NUMBERS = [(command, option, value) for command in TYPED for option, value in impossible(command)]


def test_there_are_numbers_to_mistype(): assert len(NUMBERS) > 150


@pytest.mark.parametrize('command, option, value', NUMBERS, ids=lambda v: v)
def test_a_sentence_about_a_number_names_its_option(shop, command, option, value):
    code, out, err = run_line(f'{TYPED[command]} {option} {value}')
    assert (code, out) == (2, '') and option in err and err.count('\n') == 1, err
    assert f' {option[2:].replace("-", "_")} ' not in err, 'the name in Python'


@pytest.mark.parametrize('line', ['distill alchemy toy --out new', 'distill wmdd toy --ipc 0 --teacher teacher --out new', 'show cut', 'data folder:torn'])
def test_debug_shows_the_traceback_before_the_sentence(shop, line):
    code, out, err = run_line(line + ' --debug')
    assert code == 2 and out == '' and err.startswith('Traceback') and 'UserError' in err
    assert err.splitlines()[-1] == run_line(line)[2].rstrip()


def test_a_bug_keeps_its_traceback(shop, monkeypatch):
    import dsdist.shell.files
    monkeypatch.setattr(dsdist.shell.files, 'all_methods', lambda: {'wmdd': None})
    with pytest.raises(AttributeError): main(['methods'])


def test_json_is_all_there_is_on_standard_output(shop):
    facts = json.loads(fine('data toy --json'))
    assert [c['train'] for c in facts['classes']] == [60, 60, 60] and facts['channels'] == 3
    assert [m['name'] for m in json.loads(fine('methods --json'))] == list(METHODS)
    shown = json.loads(fine('show small --json'))
    assert shown['ipc'] == 2 and shown['card']['settings']['steps'] == 5
    made = json.loads(fine('distill random toy --ipc 1 --out one --json'))
    assert made['images'] == 3 and made['set'] == 'one'


def test_same_seed_same_bytes(shop):
    content = lambda name: Path(name, 'set.safetensors').read_bytes()
    options = 'distill wmdd toy --ipc 2 --teacher teacher --steps 5 --start noise'
    fine(f'{options} --out again'), fine(f'{options} --out twice'), fine(f'{options} --seed 1 --out other')
    assert content('again') == content('twice') != content('other')
    fine('squeeze toy --arch convnet-bn-w8 --steps 20 --out teacher2')
    assert Path('teacher2/teacher.safetensors').read_bytes() == Path('teacher/teacher.safetensors').read_bytes()


def test_settings_reach_the_method(shop):
    fine('distill wmdd toy --ipc 1 --teacher teacher --steps 3 --lr .01 --feature 2 --bn 0 --start real --seed 4 --out set')
    card = DistilledSet.load('set').card
    assert {k: card['settings'][k] for k in ('ipc', 'steps', 'lr', 'feature', 'bn', 'start')} == dict(ipc=1, steps=3, lr=.01, feature=2, bn=0, start='real')
    assert card['seed'] == 4 and card['method'] == 'wmdd'


def test_published_configuration_is_the_base_of_the_options(shop):
    fine('squeeze toy --published wmdd-tinyimagenet --arch convnet-bn-w8 --steps 5 --out as-published')
    taught = load_teacher('as-published').card['settings']
    assert {k: taught[k] for k in ('steps', 'batch_size', 'lr', 'weight_decay', 'noise')} == dict(steps=5, batch_size=32, lr=.025, weight_decay=1e-4, noise=0)
    assert taught['augment']['flip'] and taught['augment']['scale'] == [.08, 1]
    fine('distill wmdd toy --ipc 1 --teacher as-published --published wmdd-tinyimagenet --steps 3 --bn 0 --scale .5 1 --out as-set')
    used = DistilledSet.load('as-set').card['settings']
    assert {k: used[k] for k in ('compat', 'start', 'scheme', 'steps', 'bn', 'feature')} == dict(compat=True, start='noise', scheme='balanced', steps=3, bn=0, feature=1)
    assert used['augment']['scale'] == [.5, 1] and used['augment']['flip'] and used['augment']['roll'] == 32
    std = json.loads(fine('data toy --json'))['std']
    assert used['lr'] == pytest.approx(.1*sum(std)/3)


def test_checks_ask_for_options(shop):
    ended = run_line('attack teacher toy --n 2 --eps 1/255 --out asked.json', 0)
    assert 'give --twin to check' in ended.out and 'give --reference or --seen to check' in ended.out
    assert re.match(r'dsdist: 2 images, 2 attacks at 1 radii: at most 720 gradients and 1,046 forward passes, about [\d.]+ s on this machine, without the checks\n', ended.err)


def test_show_tells_the_augmentation(shop):
    fine('distill wmdd toy --ipc 1 --teacher teacher --steps 2 --scale .5 1 --flip --out flipped')
    assert re.search(r'\naugment +scale 0.5 1, flip', fine('show flipped'))


def test_methods_list_published_configurations(shop):
    listed = {m['name']: m['published'] for m in json.loads(fine('methods --json'))}
    assert listed['wmdd'] == ['wmdd-imagenette', 'wmdd-tinyimagenet', 'wmdd-imagenet'] and listed['random'] == []
    assert all(f'    --published {name}\n' in fine('methods') for names in listed.values() for name in names)


def test_relabel_writes_three_kinds(shop):
    made = json.loads(fine('relabel small --teacher teacher --coding top-k --k 2 --views 20 --seed 5 --out top.safetensors --json'))
    assert made['kind'] == 'stored' and made['card']['seed'] == 5 and made['card']['coding'] == 'top-k' and 'bytes' in fine('relabel small --teacher teacher --views 1 --out one.safetensors')
    assert made['bytes'] < Path('top.safetensors').stat().st_size < made['bytes'] + 2000
    made = json.loads(fine('relabel small --teacher teacher --kind mean --views 30 --seed 5 --out mean5 --json'))
    assert made['bytes'] == 6*3*4 and made['card']['views'] == 30
    assert json.loads(fine('show mean5 --json'))['fingerprint'] == made['fingerprint']
    made = json.loads(fine('relabel small --teacher teacher --kind replay --out bound --json'))
    assert made['bytes'] == 0 and json.loads(fine('show bound --json'))['card']['labels']['kind'] == 'replay'
    fine('relabel small --teacher teacher --views 1 --seed 1 --out one.safetensors --force')
    content = Path('one.safetensors').read_bytes()
    fine('relabel small --teacher teacher --views 1 --seed 1 --out two.safetensors')
    assert content == Path('two.safetensors').read_bytes()


def test_evaluate_relabeled_sets(shop):
    rows = lambda line: json.loads(fine(f'evaluate {line} --arch {NET} --seeds 1 --json'))['rows']
    kept = rows('small toy --protocol soft --labels labels.safetensors --teacher teacher --out kept.json')
    assert [r['set'] for r in kept] == ['wmdd', 'random real', 'nearest real', 'full data']
    assert rows('small toy --protocol soft --labels labels.safetensors --no-baselines --out lone.json') == kept[:1]
    assert [r['protocol'] for r in rows('mean toy --protocol own --no-baselines --out own.json')] == ['own']


def test_force_replaces_what_dsdist_wrote(shop):
    fine('distill random toy --ipc 1 --out mine')
    fine('distill random toy --ipc 2 --out mine --force')
    assert json.loads(fine('show mine --json'))['ipc'] == 2
    fine('show mine --out mine.png'), fine('show mine --out mine.png --force')


def test_a_folder_of_pictures_from_end_to_end(shop):
    fine('distill random folder:pets --ipc 2 --out pair')
    fine('export pair --to folder --out pngs')
    assert [Image.open(f'pngs/train/{c}/000.png').getpixel((0, 0)) for c in ('cat', 'dog')] == [(255, 0, 0), (0, 0, 255)]
    fine('export pair --to parquet --out pair.parquet')
    assert Path('pair.parquet').read_bytes()[:4] == b'PAR1'
    assert json.loads(fine('data folder:pets --size 4 --channels 1 --json'))['size'] == 4
    assert json.loads(fine('data folder:pets --root . --json'))['train'] == 6


def test_evaluate_with_baselines_and_report(shop):
    line = f'evaluate small toy --arch {NET} --seeds 1 --seed 7 --teacher teacher --out full.json --json'
    rows = json.loads(fine(line))['rows']
    assert rows == json.loads(Path('full.json').read_text())['card']['rows']
    assert [(r['set'], r['seed'], r['ipc']) for r in rows] == [('wmdd', 7, 2), ('random real', 7, 2), ('nearest real', 7, 2), ('full data', 7, None)]
    fine('report small full.json --data toy --teacher teacher --out page.html')
    page = Path('page.html').read_text()
    assert 'random real' in page and 'http://' not in page.replace('http://www.w3.org', '') and page.count('<img') >= 1


def test_demo_writes_its_four_outputs(shop, monkeypatch):
    import dsdist.demo
    quick = dict(data='toy', seeds=1, archs=(NET,), teacher=dict(arch='convnet-bn-w8', steps=20), settings=dict(steps=5))
    monkeypatch.setattr(dsdist.demo, 'run_demo', partial(dsdist.demo.run_demo, **quick))
    code, out, err = run_line('demo --ipc 2 --out shown')
    assert code == 0, err
    assert sorted(p.name for p in Path('shown').iterdir()) == ['card.json', 'distilled', 'report.html', 'scorecard.json', 'teacher']
    assert all(name in out for name in ('wmdd', 'random real', 'nearest real', 'full data', 'shown/report.html'))
    assert err.startswith('dsdist: toy: 180 training and 90 test images in 3 classes\n')


COMMANDS = [c.name or c.callback.__name__.removeprefix('cli_') for c in app.registered_commands]

@pytest.mark.parametrize('name', COMMANDS)
def test_help_has_an_example(name):
    out = fine(f'{name} --help')
    assert f'Example: dsdist {name}' in out and '--json' in out and '--debug' in out
    assert f'\n  {name} ' in fine('--help') == fine('')


def test_commands_are_listed_in_the_order_of_the_work():
    listed = re.findall(r'^  (\w+)  ', fine('--help').partition('Commands:')[2], re.M)
    assert listed[:7] == ['demo', 'data', 'squeeze', 'experts', 'distill', 'relabel', 'evaluate'] and {*listed} == {*COMMANDS, 'distill'}


@pytest.mark.parametrize('line', ['', 'distill', *COMMANDS, *(f'distill {m}' for m in METHODS)])
def test_help_is_whole_and_speaks_of_the_shell(line):
    "No sentence is cut off, and no name is one of Python that cannot be looked up there"
    out = fine(f'{line} --help')
    assert not re.search(r'[a-z]\.\.\.\n', out), out
    assert not re.search(r'list\[|\b[A-Z]+_[A-Z]+\b|\bCODECS\b', out.partition('Options:')[2]), out


@pytest.mark.parametrize('line', ['', 'distill'])
def test_a_group_alone_shows_its_help(line): assert run_line(line, 0) == run_line(f'{line} --help', 0)


# --- the installed command, as a process of its own ---

@pytest.fixture
def shell(shop, quiet):
    "Runs the installed command in the shop's folder"
    env = {**quiet, 'OMP_NUM_THREADS': '1'}
    return lambda *args, **kwargs: subprocess.run([DSDIST, *args], cwd=shop, env={**env, **kwargs.pop('env', {})}, capture_output=True, text=True, timeout=300, **kwargs)


def test_mistake_of_the_installed_command(shell):
    done = shell('distill', 'wmdd', 'toy', '--teacher', 'turned', '--out', 'new')
    assert (done.returncode, done.stdout) == (2, '')
    assert done.stderr == "dsdist: the teacher's classes are [green, red, blue], the data's are [red, green, blue]: a teacher of another class order cannot be used\n"


def test_json_of_the_installed_command_while_bars_show(shell, shop):
    done = shell('distill', 'nearest', 'toy', '--ipc', '1', '--teacher', 'teacher', '--out', 'near', '--json', env={'TQDM_DISABLE': ''})
    assert done.returncode == 0 and json.loads(done.stdout)['images'] == 3
    assert (shop/'near'/'set.safetensors').is_file()


def test_python_m(shop, quiet):
    done = subprocess.run([sys.executable, '-m', 'dsdist', '--version'], cwd=shop, env=quiet, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, f'dsdist {dsdist.__version__}\n', '')


AT_ONCE = ['distill --help', 'experts toy --published mtt-cifar10', 'experts toy --published dc-svhn', 'squeeze toy --published mtt-cifar10', 'distill mtt toy --published mtt-cifar10',
           'distill mtt toy --published mtt-cifar10 --ipc 5']


@pytest.mark.parametrize('line', AT_ONCE)
def test_help_and_mistakes_do_not_wait_for_torch(tmp_path, quiet, line):
    code = "import sys\nfrom dsdist.__main__ import main\ntry: main()\nexcept SystemExit as e: print(e.code, 'torch' in sys.modules or 'matplotlib' in sys.modules)"
    done = subprocess.run([sys.executable, '-c', code, *line.split()], cwd=tmp_path, env=quiet, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == ('0 False' if line.endswith('--help') else '2 False'), done.stderr


def test_reader_that_goes_away(shop, quiet):
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([DSDIST, 'methods'], cwd=shop, env=quiet, stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert done.returncode == 1 and done.stderr == ''


def test_ctrl_c(shop, quiet):
    line = [DSDIST, 'distill', 'wmdd', 'toy', '--ipc', '2', '--teacher', 'teacher', '--steps', '100000', '--out', 'never']
    def heed(): signal.signal(signal.SIGINT, signal.SIG_DFL)   # which shells tell what runs in the background to ignore
    p = subprocess.Popen(line, cwd=shop, env={**quiet, 'OMP_NUM_THREADS': '1'}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                         preexec_fn=heed)
    try:
        end = time.monotonic() + 120
        while not list(shop.glob('.never.work/*/*.safetensors')) and p.poll() is None and time.monotonic() < end: time.sleep(.05)
        p.send_signal(signal.SIGINT)
        out, err = p.communicate(timeout=60)
    finally: p.kill()
    assert (p.returncode, out, err) == (130, '', 'dsdist: interrupted\n')
    assert not (shop/'never').exists()
