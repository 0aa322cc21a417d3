"""How Sphinx builds these pages: `make docs`."""

import importlib.metadata
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "extensions"))

project = "streamaug"
author = "the streamaug authors"
release = version = importlib.metadata.version("streamaug")
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "docstrings",
    "gallery",
    "links",
    "reference",
]
exclude_patterns = ["generated"]

# Pages are Markdown that reads well in a repository too: plain fences, no labels. Headings are link targets.
myst_heading_anchors = 3

# The reference follows `__all__`. Two integrations import frameworks that these pages do not install.
autodoc_member_order = "bysource"
autodoc_mock_imports = ["lightning", "transformers"]
autodoc_default_options = {"members": True}
autodoc_typehints = "none"  # the signatures of a source that is typed throughout are long; the docstrings say shapes
napoleon_numpy_docstring = False
napoleon_use_ivar = True  # what a section "Attributes" names is documented where it is defined, too

html_theme = "pydata_sphinx_theme"
html_title = "streamaug"
templates_path = ["templates"]
html_static_path = ["static"]
html_css_files = ["streamaug.css"]
html_show_sourcelink = False
html_copy_source = False
html_sidebars = {"**": ["pages"], "migrating": []}
html_theme_options = {
    "show_prev_next": True,
    "navigation_with_keys": False,
    "show_toc_level": 2,
    "navbar_center": [],
    "footer_start": ["copyright"],
    "footer_end": [],
    "secondary_sidebar_items": {"**": ["page-toc"], "index": [], "migrating": []},
}
copyright = author  # noqa: A001 (Sphinx calls it so)
