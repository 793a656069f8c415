"""A mix of experts in forms that need nothing of this project: other engines run them.

``merged`` is a whole checkpoint, ``lora`` an adapter beside the base; llama.cpp's own converters
turn both into GGUF (``gguf``).
"""

from t2app.export.folder import check_folder
from t2app.export.merged import write

__all__ = ["check_folder", "write"]
