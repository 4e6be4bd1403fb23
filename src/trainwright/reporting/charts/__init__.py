"""The charts of a report: Vega-Lite documents, each with the table of its data."""
