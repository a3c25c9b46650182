"""`llmgate init`: a working minimum of settings and app in the folder where it is run.

command     the command, and what it prints
hosts       the web frameworks: how each is recognised, and what it gets
folder      writes files, and replaces none
templates   the files
"""

from asgi_llmgate.cli.init.command import init

__all__ = ["init"]
