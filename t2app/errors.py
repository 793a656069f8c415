"""The one exception that users see."""

from __future__ import annotations


class T2Error(Exception):
    """Something the user can mend: one line that names what was wrong and what to do.

    The command line prints it and exits with 2; the page shows it where the input was given.
    Everything else that is raised is a defect of this program.
    """
