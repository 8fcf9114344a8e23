"""The house models: small task models that ship with Bottega, one file each. `models.training` makes them."""
