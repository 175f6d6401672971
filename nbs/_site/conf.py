"Sphinx settings of the website; nbs/_site/build.py makes the pages."
from configparser import ConfigParser
from pathlib import Path

cfg = ConfigParser(delimiters=['='])
cfg.read(Path(__file__).parents[2]/'settings.ini', encoding='utf-8')
cfg = cfg['DEFAULT']

project, author, copyright = cfg['title'], cfg['author'], cfg['copyright']
version = release = cfg['version']
html_baseurl = cfg['doc_host'] + cfg['doc_baseurl'] + '/'

extensions = ['myst_nb', 'sphinx_copybutton', 'sphinx-mathjax-offline']
exclude_patterns = ['.doctrees']
nb_execution_mode = 'off'               # the notebooks hold their outputs
nb_merge_streams = True
myst_enable_extensions = ['dollarmath', 'amsmath', 'colon_fence', 'deflist']
myst_heading_anchors = 4
pygments_style, pygments_dark_style = 'github-light-high-contrast', 'github-dark'   # every color readable: a contrast of 4.5 at least

html_theme = 'furo'
html_title = cfg['title']
html_static_path = ['static']
html_css_files = ['dsdist.css']
html_favicon = 'static/logo.svg'
html_logo = 'static/logo.svg'
html_show_sphinx = False
html_theme_options = dict(
    source_repository=cfg['git_url'], source_branch=cfg['branch'], source_directory='nbs/',
    top_of_page_buttons=[],
    light_css_variables={'color-brand-primary': '#0f5c6e', 'color-brand-content': '#0b6b80', 'color-brand-visited': '#5b4a8a'},
    dark_css_variables={'color-brand-primary': '#6cc6d9', 'color-brand-content': '#74cbdd', 'color-brand-visited': '#b3a4e0'},
)
nb_render_markdown_format = 'myst'     # tables that a cell prints as Markdown
