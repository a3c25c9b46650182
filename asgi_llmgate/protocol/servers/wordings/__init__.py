"""The wordings of model servers' errors, as patterns: one module for each topic.

This is the one place for the error texts of a new vendor.  Each table says what a match means; the modules that use it
are named beside it.  A wording that is in no table reaches the caller as it is, and nothing is corrected.

Where more than one pattern can match, the first one in the table counts; a pattern of a new vendor therefore goes
before the broad ones.  Numbers are at most nine digits where they are used for arithmetic with a request, so that a
text cannot make the gateway work with huge ones.
"""
