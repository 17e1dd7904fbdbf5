"""The report: exhibits of tables and figures, and the pages that gather them."""
