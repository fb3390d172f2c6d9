"""A first look into the lakehouse. Open it with `datalab-edge notebook`."""

import marimo

app = marimo.App(width="medium")


@app.cell
def _():
    import datalab_edge.lake
    from datalab_edge.credentials import load

    lake = datalab_edge.lake.connect(load())
    return (lake,)


@app.cell
def _(lake):
    lake.sql("SELECT database_name, schema_name, table_name, estimated_size FROM duckdb_tables()")


if __name__ == "__main__":
    app.run()
