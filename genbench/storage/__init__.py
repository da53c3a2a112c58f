"""Bytes on a disk: atomic files, tensors with checksums, leases, downloads."""
