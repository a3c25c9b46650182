"""The flags of patterns that are searched in texts of any case."""

from __future__ import annotations

import re

# Case is ignored for ASCII only: otherwise the long s would match an s, and the search for the same words in the
# request (`quotations`), which compares ASCII, would not find them.
FLAGS = re.IGNORECASE | re.DOTALL | re.ASCII
