"""Corrections: changes to the upstream request that an error of the server asks for.

An error may say that the server does not accept a field, or state a limit that the settings do not have.  The request
is then written again with that correction and sent again.  A wording that no row of the table has corrects nothing, and
the caller gets the error.  Which corrections are kept for other calls is decided in upstream/call.py.

    changes   what can be corrected (`Corrections`), and how several add up
    rows      what a row of the table says
    table     the whole table, and the search in an error's text
    others    the rows, by topic; their wordings are in `servers.wordings`

A new kind of correction is a field of `Corrections`, a module of rows that is named in `table`, its wordings, and the
place in `translation/request` that reads the field.  `tests/protocol/correcting_errors.py` has one sentence of each
kind: with it the tests show that it corrects a request, and that a caller who writes it changes nobody else's.
"""
