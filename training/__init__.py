"""Consumes token shards: samplers, mixers, laws, models, the training loop. Knows no Dagster."""
