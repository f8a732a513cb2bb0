"""The training loop: trainer, optimizers, callbacks, resuming, sharding."""
