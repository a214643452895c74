"""The domains, by name."""

from core.domains.ads import ADS
from core.domains.services import SERVICES

DOMAINS = {domain.name: domain for domain in (ADS, SERVICES)}
