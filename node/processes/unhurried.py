"""The first import of the process that children are forked from (`node.processes.pool.preload`).

While the others are imported it looks for no garbage, which is a tenth of their time; `node.processes.preloaded` looks
once, and then as usual.
"""

from __future__ import annotations

import gc

gc.disable()
