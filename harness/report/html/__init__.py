"""report.html: view models, chart data and templates."""
