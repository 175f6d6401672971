"Packaging. Every value lives in settings.ini: edit there, not here."
from configparser import ConfigParser
from pathlib import Path
from setuptools import find_packages, setup
from setuptools.command.sdist import sdist

cfg = ConfigParser(delimiters=['='])
cfg.read('settings.ini', encoding='utf-8')
cfg = cfg['DEFAULT']
online = f"{cfg['git_url']}/raw/{cfg['branch']}/nbs/"   # PyPI has no folder that a relative picture could lie in


class PackageOnly(sdist):
    "The package and what builds it; the tests stay in the repository."
    def make_release_tree(self, base_dir, files):
        files = [f for f in files if Path(f).parts[0] != 'tests']
        super().make_release_tree(base_dir, files + ['settings.ini'])


setup(
    name=cfg['lib_name'], version=cfg['version'], description=cfg['description'], keywords=cfg['keywords'],
    author=cfg['author'], author_email=cfg['author_email'], url=cfg['git_url'],
    license_expression='Apache-2.0', license_files=['LICENSE'],
    project_urls={'Documentation': cfg['doc_host'] + cfg['doc_baseurl']},
    long_description=Path('README.md').read_text(encoding='utf-8').replace('](nbs/', f']({online}'),
    long_description_content_type='text/markdown',
    classifiers=[f"Development Status :: {cfg['status']}", f"Natural Language :: {cfg['language']}", f"Topic :: {cfg['topic']}", 'Typing :: Typed',
                 *(f'Intended Audience :: {a}' for a in cfg['audience'].split(', ')),
                 *(f'Programming Language :: Python :: {v}' for v in ['3', *cfg['pythons'].split()])],
    packages=find_packages(include=[cfg['lib_path'], cfg['lib_path'] + '.*']),
    package_data={cfg['lib_path']: ['py.typed', '*.pyi']},
    python_requires='>=' + cfg['min_python'],
    install_requires=cfg['requirements'].split(),
    extras_require={k[:-len('_requirements')]: v.split() for k, v in cfg.items() if k.endswith('_requirements')},
    entry_points={
        'console_scripts': cfg['console_scripts'].split(),
        'nbdev': [f"{cfg['lib_path']}={cfg['lib_path']}._modidx:d"],
    },
    cmdclass={'sdist': PackageOnly},
)
