"""What `llmgate check` does with settings, and a gateway's start does not: all mistakes with their places, and advice.

check.py         a settings file: its findings, and the settings if it can be read
findings.py      one finding, as text and as JSON
positions.py     line and column of each setting
advice.py        what in valid settings is probably not meant; safeguard_advice.py: in rules about tool calls
description.py   what valid settings mean
"""
