"""What thinks: the backbone, adapters, house models, the registry, training, chat clients, engines."""
