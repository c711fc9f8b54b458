"""Write records as terminal tables, HTML, Markdown and JUnit XML."""
