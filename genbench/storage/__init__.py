"""Bytes on a disk: atomic files, sealed tensors, leases, downloads."""
