"""The one command for people, `./lab`: thin over plain Pulumi, whose commands it prints."""
