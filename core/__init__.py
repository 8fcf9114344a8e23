"""The few words every room shares: errors, ids, usage, redaction. No logic of its own."""
