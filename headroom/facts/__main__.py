"""`python -m headroom.facts`: prints the JSON Schema of a snapshot, as it is kept in snapshot.schema.json."""

import sys

from headroom.facts.document import schema_text

sys.stdout.write(schema_text())
