"""Text encoders: captions as conditions of a model."""
