"""What another package has to do to add to genbench: decorate a builder, and announce its module."""
