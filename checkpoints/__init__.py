"""Released weights and their manifest; read through `common.networks.registry`."""
