"""`python -m bottega` is the command `bottega`."""

import sys

from .cli import main

sys.exit(main())
