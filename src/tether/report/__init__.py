"""What a study found, for people: one HTML file, Markdown, JSON and CSV."""
