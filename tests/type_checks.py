"""The check of types and shapes in signatures, which pytest applies to the packages that pyproject.toml names."""

from beartype import BeartypeConf, beartype

checked = beartype(conf=BeartypeConf(is_pep484_tower=True, violation_type=TypeError))
