"""Fill in the templates of the HTML pages. Style and script are part of the page, so a page is one file.

Names and evidence come from a foreign library. All text is therefore escaped by Jinja, or passes through its JSON
filter, which is safe inside a script element. Control characters are shown as escapes. A template that uses an
undefined name is an error.
"""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from sdcpp.printable import printable


def fill(template: str, **values: object) -> str:
    """Return the HTML page of a template in ``templates/``, filled in with ``values``."""
    loader = PackageLoader("harness.reports")
    environment = Environment(
        loader=loader,
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # Numbers and names are in the order in which the page shows them.
    environment.policies["json.dumps_kwargs"] = {"sort_keys": False}

    def asset(name: str) -> Markup:
        """Return a file of ``templates/`` without escaping. Such files belong to the project and are constant."""
        return Markup(loader.get_source(environment, name)[0])  # noqa: S704

    return environment.get_template(template).render(values, asset=asset)


def _visible(value: object) -> object:
    """Return a value of a template with control characters as escapes, unless it is markup of the project."""
    return value if isinstance(value, Markup) else printable(str(value), "\n\t")
