"""python -m clipmini: the same as the command clipmini."""

import sys

from clipmini.commands import main

sys.exit(main())
