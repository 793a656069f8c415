"""From a file of rows to a task: read it, find its columns, check every row, split, score.

Nothing here sees a model; what a model can read comes in as a function that counts tokens.
"""

from t2app.data.check import Report, check
from t2app.data.columns import Columns, guess
from t2app.data.preview import Preview, preview
from t2app.data.table import Rejected, Row, Table, read_table, table_from_cells
from t2app.data.task import RowsTask, build
from t2app.data.unclear import Unclear

__all__ = [
    "Columns",
    "Preview",
    "Rejected",
    "Report",
    "Row",
    "RowsTask",
    "Table",
    "Unclear",
    "build",
    "check",
    "guess",
    "preview",
    "read_table",
    "table_from_cells",
]
