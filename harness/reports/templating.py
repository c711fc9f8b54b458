"""Pages for a browser: a template of ``templates/`` filled in, with the style and the script inside the page.

All text passes through Jinja's autoescape, or through JSON that it makes safe, since names and evidence come from a
foreign library. A name that a template uses and nobody gives is an error.
"""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup


def fill(template: str, **values: object) -> str:
    """Return the page that a template makes of ``values``."""
    loader = PackageLoader("harness.reports")
    environment = Environment(
        loader=loader,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # The order of numbers and names is meant.
    environment.policies["json.dumps_kwargs"] = {"sort_keys": False}

    def asset(name: str) -> Markup:
        """Return a file of ``templates/`` as it is: ours and constant, the only text that is not escaped."""
        return Markup(loader.get_source(environment, name)[0])  # noqa: S704

    return environment.get_template(template).render(values, asset=asset)
