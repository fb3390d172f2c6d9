"""Writes a row into the database that the lab made for this project, and reads it back."""

import os

import psycopg

with psycopg.connect(
    host=os.environ["DB_HOST"],
    port=os.environ["DB_PORT"],
    dbname=os.environ["DB_NAME"],
    user=os.environ["DB_USER"],
    password=os.environ["DB_PASS"],
) as connection:
    connection.execute("CREATE TABLE IF NOT EXISTS visits (job text)")
    connection.execute("INSERT INTO visits VALUES (%s)", (os.environ.get("CI_JOB_NAME"),))
    row = connection.execute("SELECT count(*) FROM visits").fetchone()
    print(f"{row[0] if row else 0} visits")
