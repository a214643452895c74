"""What the pages draw with: tokens, words, charts, tables, session state and caches."""
