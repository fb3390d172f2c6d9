"""The simulated lab behind `./lab rehearse`: provider simulators for the real Pulumi engine."""
