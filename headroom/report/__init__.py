"""A diagnosis for people: on the terminal, as Markdown, and as one self-contained HTML page."""
