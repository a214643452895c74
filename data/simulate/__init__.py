"""Worlds with known truth, written as the files a user would have downloaded.

A simulator knows nothing of the detectors that will be judged on its worlds.
"""
