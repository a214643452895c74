"""Detection, explanation and root cause: pure functions and classes, arrays in, arrays out.

Nothing here opens a file, a socket or a database; start reading at `core.contracts`.
"""
