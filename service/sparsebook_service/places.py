"""How a place in a bucket is written, for settings and callers alike."""

import re

# Nothing that a parser of URLs would take for something else, such as %2e%2e for a folder above.
PLACE = re.compile(r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,62})(/(?P<key>[^%#?\\]*))?")
