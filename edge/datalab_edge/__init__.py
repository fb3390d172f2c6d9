"""The lakehouse from outside: a client for people, and what the lab's own parts share with it."""
