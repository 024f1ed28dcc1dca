"""The shipped models and their cards."""
