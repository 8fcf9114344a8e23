"""The few words every room shares: errors, ids, usage, redaction, sound text. No logic of its own."""
