"""What an aligned space is good for. Every task takes an Embedder, never a raw model."""
