"""The report as a page: `page` writes HTML, `charts` draws, `assets` has style and script that it shares with the service."""
