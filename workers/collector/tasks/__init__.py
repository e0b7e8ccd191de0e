"""Collection tasks: what is asked for beyond what each symbol implies, from what is here."""
