"""A run as one page of HTML that needs nothing else."""

from actors.report.page import render_page

__all__ = ["render_page"]
