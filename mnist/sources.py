"""Where networks come from."""

