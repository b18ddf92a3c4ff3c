"""Networks of every family, as their users train them; each file ends with its rows."""
