"""Tables: one a file; the rows are the same in the page, in Markdown and in CSV."""
