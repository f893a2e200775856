"""The example's ERP, running."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

EXAMPLE = Path(__file__).parents[2] / "examples" / "erp"


def server_module() -> Any:
    """examples/erp/server.py, which belongs to no package."""
    name = "example_erp_server"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, EXAMPLE / "server.py")
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


@contextmanager
def erp(*, scale: float = 0.02, **settings: Any) -> Iterator[Any]:
    """A server with its data: `.url`, `.asked`, `.data.models`."""
    module = server_module()
    with module.Server(module.Data(scale=scale), **settings) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
