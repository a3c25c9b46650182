"""Pages of what stands in front of a model server."""

from __future__ import annotations

import re

FIREWALL = re.compile(
    r"attention required! \| cloudflare|you have been blocked|just a moment\.\.\.|error (?:code:? )?10(?:0|1|2)\d\b"
    r"|used cloudflare to restrict access|cf-error-details|request blocked|incapsula incident|_incapsula_resource"
    r"|the requested url was rejected|web application firewall|aws waf|modsecurity|mod_security|akamaighost"
    r"|errors\.edgesuite\.net|access denied.{0,300}?reference #|sucuri website firewall|fortiweb|barracuda"
    r"|the request could not be satisfied",
    re.DOTALL,
)
"""`errors.pages`: a firewall refuses the request (Cloudflare, AWS, Akamai, Imperva, F5, ModSecurity).  In lower
case."""

SIGN_IN = re.compile(
    r"<title>[^<]{0,60}(?:sign|log)[ -]?(?:in|on)|type=[\"']password|samlrequest|openid-connect/auth|oauth2/authorize"
)
"""`errors.pages`: somebody is to sign in."""

HTML = re.compile(r"<!doctype html|<html[\s>]|<head[\s>]|<body[\s>]")
"""`errors.pages`: a web page."""

XML_CODE = re.compile(r"<code>\s*+([^<]{1,64}+)</", re.IGNORECASE)
XML_MESSAGE = re.compile(r"<(?:message|msg|error_message|faultstring)>\s*+([^<]{1,2000}+)</", re.IGNORECASE)
"""`errors.pages`: the fields of an error in XML (AWS, Azure)."""
