"""What a call costs, beside a do-nothing app and a gateway written for speed alone; __main__.py has the command."""
