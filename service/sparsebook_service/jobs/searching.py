"""Which jobs a person means who types something into a search box."""

import sqlalchemy as sa


def finds(jobs: sa.Table, text: str) -> sa.ColumnElement[bool]:
    """Whether a job's model has the text in its file name, in any case, or its id begins with it.

    Args:
        jobs: the table.
        text: as typed; no character of it is special.
    """
    name = jobs.c.upload["model"]["name"].as_string()
    return sa.or_(
        name.icontains(text, autoescape=True), jobs.c.id.istartswith(text, autoescape=True)
    )
