"""The house models: small task models that ship with Bottega, one file each. Their training lies in `models.training`."""
