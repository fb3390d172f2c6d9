"""What nobody can do to the lab: each test is an attack, or a promise that one was made into."""
