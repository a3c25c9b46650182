"""`llmgate demo`: the lab on this machine.

command          the command, and what it prints
lab_folder       the lab's files, and its app
model_server     the model server behind the gateway, and words for one that does not work
real_model       a small language model that runs on this machine
scenarios        the lab's requests
traffic          made-up calls for the usage page
"""

from asgi_llmgate.cli.demo.command import demo

__all__ = ["demo"]
