"""What a classifier sees of a conversation, and the client's own calls of one.

The field of a request and the results of a response are in `protocol.messages.safeguards`.
"""
