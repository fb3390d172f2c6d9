"""How the lab's models do: shares of requests, drift and feedback, day by day.

Open it with `./lab edge dev notebook examples/notebook/models.py`, after `./lab edge dev monitor`.
"""

import marimo

app = marimo.App(width="medium", app_title="Models")


@app.cell
def _():
    import altair as alt
    import datalab_edge.lake
    import marimo as mo
    from datalab_edge.credentials import load

    lake = datalab_edge.lake.connect(load())
    return alt, lake, mo


@app.cell
def _(lake):
    days = lake.sql("""
        SELECT day, model_name || ' ' || model_version AS model, requests,
            requests / sum(requests) OVER (PARTITION BY day) AS share,
            prediction_ks, feature_auc, estimated_accuracy, feedback_mean, brier
        FROM stage.monitoring.stats ORDER BY ALL
    """).pl()
    return (days,)


@app.cell
def _(alt, days, mo):
    def over_days(column, title):
        """A line for each model."""
        axes = alt.X("day:T", title=None), alt.Y(f"{column}:Q", title=title), alt.Color("model:N")
        return alt.Chart(days).mark_line(point=True).encode(*axes).properties(height=160)

    shares = (
        alt.Chart(days)
        .mark_bar()
        .encode(alt.X("day:T", title=None), alt.Y("share:Q").axis(format="%"), alt.Color("model:N"))
        .properties(height=160)
    )
    charts = {
        "Shares of requests": shares,
        "Drift of predictions": over_days("prediction_ks", "Kolmogorov-Smirnov"),
        "Drift of data": over_days("feature_auc", "ROC AUC, 0.5 is none"),
        "Estimated accuracy": over_days("estimated_accuracy", "without feedback"),
        "Feedback": over_days("feedback_mean", "mean"),
    }
    mo.vstack([mo.vstack([mo.md(f"## {title}"), chart]) for title, chart in charts.items()])
    return (charts,)


if __name__ == "__main__":
    app.run()
