"""Compile the standard library where the base has no bytecode of it: it would be compiled anew at every start.

Bytecode that is never compared with its source, and fixed times: the layer is the same in every build.
"""

import compileall
import os
import sysconfig
from pathlib import Path
from py_compile import PycInvalidationMode

library = Path(sysconfig.get_path("stdlib"))
compileall.compile_dir(library, quiet=1, invalidation_mode=PycInvalidationMode.UNCHECKED_HASH)
epoch_s = int(os.environ["SOURCE_DATE_EPOCH"])
for cache in library.rglob("__pycache__"):
    for path in (*cache.iterdir(), cache, cache.parent):
        os.utime(path, (epoch_s, epoch_s))
