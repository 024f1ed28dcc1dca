"""Messages <-> domain values, as pure functions. Imports no node."""
