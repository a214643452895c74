"""What one can ask for, and the three doors to it: pages, REST API, command line."""

from importlib.metadata import version

__version__ = version("headwater")
