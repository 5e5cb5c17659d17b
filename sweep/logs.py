"""Logs: constant messages with facts beside them, as coloured text or as JSON lines (structlog renders both)."""

import logging
import sys

import structlog
from structlog.typing import Processor


def configure_logs(*, json: bool) -> None:
    """Sends every logger's records to standard error, their `extra` facts included."""
    shared: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso" if json else "%H:%M:%S", utc=json),
    ]
    last: list[Processor] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
        if json
        else [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), pad_event_to=16)]
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    for noisy in ("alembic", "httpx", "mlflow", "urllib3", "matplotlib", "uvicorn.access"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
