"""How a machine gets what `./lab` needs: a virtual environment, Pulumi, a Python language host."""
