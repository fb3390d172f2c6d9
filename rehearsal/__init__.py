"""The simulated lab behind `./lab rehearse`: provider stand-ins for the real Pulumi engine."""
