"""Image collections on a disk: archives, folders, decoding, caches."""
