"""From an algorithm to the version in use: trained, signed, verified, served."""
