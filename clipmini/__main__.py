"""python -m clipmini: the same as the command clipmini."""

import sys

from clipmini.cli import main

sys.exit(main())
