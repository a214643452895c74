"""Foreign files in, batches out; the only readers of them."""

from data.ingest.reading import Plan, plan, read, read_many

__all__ = ["Plan", "plan", "read", "read_many"]
