"""The domains, by name."""

from core.domains.ads import ADS

DOMAINS = {domain.name: domain for domain in (ADS,)}
