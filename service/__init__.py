"""Asks and answers: the HTTP API, its client, and the `evenhand` command."""
