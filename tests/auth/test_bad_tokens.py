"""Every way of being wrong, and the one right answer to each: status, words, work."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from joserfc import jwe, jwk

from asgi_llmgate.auth import JWTAuthMiddleware, reasons
from asgi_llmgate.testing.driver import call

NOW = 1_800_000_000
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
MALFORMED, BAD_ALGORITHM, BAD_SIGNATURE = reasons.MALFORMED, reasons.BAD_ALGORITHM, reasons.BAD_SIGNATURE
WRONG_ISSUER, UNKNOWN_KEY, WRONG_AUDIENCE = reasons.WRONG_ISSUER, reasons.UNKNOWN_KEY, reasons.WRONG_AUDIENCE
NOT_ACCESS_TOKEN = reasons.NOT_ACCESS_TOKEN
EVIL = "https://evil.test/jwks.json"

Make = Callable[[Any], str]
CASES: list[Any] = []


def bad(name: str, text: str, make: Make) -> None:
    CASES.append(pytest.param(make, text, id=name))


def header(name: str, text: str, /, **members: Any) -> None:
    bad(f"header {name}", text, lambda f: f.token(members, sign_as="RS256"))


def claim(name: str, text: str, /, **members: Any) -> None:
    bad(f"claim {name}", text, lambda f: f.token(claims=members))


def raw_header(name: str, data: bytes) -> None:
    bad(f"raw header {name}", MALFORMED, lambda f: f.token(data))


def raw_claims(name: str, data: bytes) -> None:
    bad(f"raw claims {name}", MALFORMED, lambda f: f.token(claims=data))


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def parts(f: Any, **options: Any) -> list[str]:
    return str(f.token(**options)).split(".")


def hmac_with(secret: Callable[[Any], bytes], digest: str = "sha256") -> Make:
    """The public key taken for a shared secret (CVE-2015-9235 and its many successors)."""

    def make(f: Any) -> str:
        message = f.token({"alg": f"HS{digest[3:]}"}, signature=b"").rpartition(".")[0]
        return f"{message}.{b64(hmac.new(secret(f), message.encode(), getattr(hashlib, digest)).digest())}"

    return make


def encrypted(f: Any) -> str:
    """What Auth0 gives out when no audience was asked for."""
    key = jwk.OctKey.generate_key(256)
    return str(jwe.encrypt_compact({"alg": "dir", "enc": "A256GCM"}, b"{}", key))


def der_signature(f: Any) -> str:
    message, _, signature = f.token(key="ec").rpartition(".")
    raw = base64.urlsafe_b64decode(signature + "==")
    der = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
    return f"{message}.{b64(der)}"


def negated_s(f: Any) -> bytes:
    return (1).to_bytes(32, "big") + (P256_ORDER - 1).to_bytes(32, "big")


def swapped(f: Any, place: int) -> str:
    """One part of another good token of the same key."""
    one, other = parts(f), parts(f, claims={"sub": "bob"}, header={"x": 1})
    one[place] = other[place]
    return ".".join(one)


def flipped(f: Any) -> str:
    message, _, signature = f.token().rpartition(".")
    return f"{message}.{'B' if signature[0] == 'A' else 'A'}{signature[1:]}"


# the shape of the whole
bad("two parts", MALFORMED, lambda f: ".".join(parts(f)[:2]))
bad("a dot too many", MALFORMED, lambda f: f.token() + ".")
bad("four parts", MALFORMED, lambda f: "a." + f.token())
bad("six parts", MALFORMED, lambda f: "a.b.c." + f.token())
bad("a hundred parts", MALFORMED, lambda f: "a." * 99 + "a")
bad("only dots", MALFORMED, lambda f: "..")
bad("five parts", reasons.ENCRYPTED, encrypted)
bad("five empty parts", reasons.ENCRYPTED, lambda f: "....")
bad("an opaque token", reasons.OPAQUE, lambda f: "ya29.a0Af"[:4] + "a0AfH6SMBx")
bad("a JSON serialisation's payload alone", reasons.OPAQUE, lambda f: parts(f)[1])
bad("padded base64", MALFORMED, lambda f: parts(f)[0] + "=." + ".".join(parts(f)[1:]))
bad("plain base64 alphabet", MALFORMED, lambda f: "+/" + f.token())
bad("a base64 length that cannot be", MALFORMED, lambda f: "AAAAA" + f.token()[:4] + f.token()[3:])
bad("bits left over in the header", MALFORMED, lambda f: "e31." + ".".join(parts(f)[1:]))
bad("bits left over in the signature", MALFORMED, lambda f: f.token(signature=b"x")[:-1] + "B")
bad("a tilde", MALFORMED, lambda f: "~" + f.token())
bad("too long", MALFORMED, lambda f: f.token(claims={"x": "y" * 16384}))
bad("a megabyte", MALFORMED, lambda f: "a." * 500_000)
bad("the header too long", MALFORMED, lambda f: f.token({"x5c": ["A" * 8000]}))
bad("a detached payload", MALFORMED, lambda f: "{}..{}".format(*parts(f)[::2]))
bad("nested in another JWT", MALFORMED, lambda f: f.token({"cty": "JWT"}, f.token().encode()))
bad("nested, as a JSON text", MALFORMED, lambda f: f.token({"cty": "JWT"}, json.dumps(f.token()).encode()))

# JSON that is none, or too much
for what, data in {
    "an array": b'["alg"]',
    "an array of pairs": b'[["alg","RS256"]]',
    "a text": b'"alg"',
    "a number": b"5",
    "null": b"null",
    "true": b"true",
    "empty": b"",
    "unfinished": b'{"alg":"RS256"',
    "followed by more": b'{"alg":"RS256"}{}',
    "with a comma too many": b'{"alg":"RS256",}',
    "in single quotes": b"{'alg':'RS256'}",
    "with a comment": b'{"alg":"RS256"/**/}',
    "with a raw control character": b'{"alg":"RS256\x00"}',
    "not UTF-8": b'{"alg":"RS256","x":"\xff"}',
    "overlong UTF-8": b'{"alg":"RS256","x":"\xc0\xaf"}',
    "a UTF-8 surrogate": b'{"alg":"RS256","x":"\xed\xa0\x80"}',
    "UTF-16": '{"alg":"RS256","kid":"rsa"}'.encode("utf-16"),
    "UTF-32": '{"alg":"RS256","kid":"rsa"}'.encode("utf-32-le"),
    "with a byte order mark": b'\xef\xbb\xbf{"alg":"RS256"}',
    "with a lone surrogate": b'{"alg":"RS256","x":"\\ud800"}',
    "deeply nested arrays": b'{"alg":"RS256","x":' + b"[" * 2900 + b"]" * 2900 + b"}",
    "deeply nested objects": b'{"alg":"RS256","x":' + b'{"a":' * 900 + b"1" + b"}" * 901,
    "nested a little too deeply": b'{"alg":"RS256","x":' + b"[" * 32 + b"]" * 32 + b"}",
    "never closing": b"[" * 5000,
    "NaN": b'{"alg":"RS256","x":NaN}',
    "an endless number": b'{"alg":"RS256","x":' + b"9" * 5000 + b"}",
}.items():
    raw_header(what, data)
    raw_claims(what, data.replace(b'"alg":"RS256"', b'"iss":"https://idp.test"'))
raw_header("without alg", b'{"kid":"rsa"}')
raw_header("alg twice", b'{"alg":"none","kid":"rsa","alg":"RS256"}')
raw_header("alg twice, once escaped", b'{"alg":"RS256","kid":"rsa","al\\u0067":"none"}')
raw_header("kid twice", b'{"alg":"RS256","kid":"rsa","kid":"any"}')
raw_header("a duplicate deep inside", b'{"alg":"RS256","kid":"rsa","jwk":{"kty":"RSA","kty":"oct"}}')
GOOD_START = b'{"iss":"https://idp.test","aud":"llm","team":"data","hd":"acme.test","iat":1800000000,'
raw_claims("exp twice", GOOD_START + b'"exp":1,"exp":1800003600}')
raw_claims("aud twice", GOOD_START + b'"exp":1800003600,"aud":"other"}')
raw_claims("iss twice", GOOD_START + b'"exp":1800003600,"iss":"https://evil.test"}')
raw_claims("a duplicate deep inside", GOOD_START + b'"exp":1800003600,"llms":{"openai":[],"openai":["gpt-4o"]}}')
for number in (b"NaN", b"Infinity", b"-Infinity", b"1e400", b"-1e400", b"0x7fffffff", b"1_800_003_600", b"01"):
    raw_claims(f"exp {number.decode()}", GOOD_START + b'"exp":' + number + b"}")

# the header's members
for value in (None, 5, [], {}, True, [["RS256"]], ["RS256"]):
    header(f"alg {value!r}", MALFORMED, alg=value)
for value in (None, 5, [], {}, ["rsa"], False):
    header(f"kid {value!r}", MALFORMED, kid=value)
header("typ a number", MALFORMED, typ=5)
header("typ null", MALFORMED, typ=None)
header("cty a list", MALFORMED, cty=["JWT"])
for value in ([], None, 5, "kid", {}, [[]], [5], ["kid"], ["exp"], ["b64"], ["kid", "kid"], ["http://x.test/y"]):
    header(f"crit {value!r}", MALFORMED, crit=value)
header("crit with its member there", MALFORMED, crit=["exp"], exp=1)
header("b64 false, with crit", MALFORMED, b64=False, crit=["b64"])
for value in (False, None, "true", 0):
    header(f"b64 {value!r}", MALFORMED, b64=value)
header("jku no URL", BAD_SIGNATURE, jku="file:///etc/passwd")
header("x5c no list", BAD_SIGNATURE, x5c="MIIB")

# issuers
claim("iss missing", WRONG_ISSUER, iss=...)
for value in (None, 5, True, [], {}, ["https://idp.test"], {"a": "https://idp.test"}, ""):
    claim(f"iss {value!r}", WRONG_ISSUER, iss=value)
for value in (
    "https://idp.test/",
    "http://idp.test",
    "HTTPS://IDP.TEST",
    "https://idp.test ",
    "https://idp.test\x00",
    "https://idp.test.evil.test",
    "https://evil.test",
    "https://evil.test#https://idp.test",
    "idp.test",
    "{tenantid}",
    "https://ıdp.test",
):
    claim(f"iss {value!a}", WRONG_ISSUER, iss=value)

# algorithms
for value in ("none", "None", "NONE", "nOnE", "none "):
    bad(f"alg {value}, no signature", BAD_ALGORITHM, lambda f, v=value: f.token({"alg": v}, signature=b""))
    bad(f"alg {value}, good signature", BAD_ALGORITHM, lambda f, v=value: f.token({"alg": v}, sign_as="RS256"))
for value in (
    "",
    "rs256",
    "RS256 ",
    "RS1",
    "RS2048",
    "HS256",
    "ES256K",
    "Ed448",
    "EdDSA448",
    "RSA-OAEP",
    "dir",
    "A128KW",
):
    header(f"alg {value!r}", BAD_ALGORITHM, alg=value)
bad("HMAC by the public PEM", BAD_ALGORITHM, hmac_with(lambda f: f.keys["rsa"].as_pem()))
bad("HMAC by the public DER", BAD_ALGORITHM, hmac_with(lambda f: f.keys["rsa"].as_der()))
bad("HMAC by the JWK", BAD_ALGORITHM, hmac_with(lambda f: json.dumps(f.keys["rsa"].as_dict()).encode(), "sha512"))
bad("HMAC by nothing", BAD_ALGORITHM, hmac_with(lambda f: b"", "sha384"))
bad("HMAC by the published oct key", BAD_ALGORITHM, hmac_with(lambda f: b"secret-secret-secret"))
for alg in ("PS256", "RS384", "RS512"):
    bad(f"{alg} by a key for RS256", BAD_ALGORITHM, lambda f, a=alg: f.token({"alg": a}))
bad("ES256 by an RSA key's kid", BAD_ALGORITHM, lambda f: f.token({"kid": "rsa"}, key="ec"))
bad("RS256 by an EC key's kid", BAD_ALGORITHM, lambda f: f.token({"kid": "ec"}))
bad("EdDSA by an RSA key's kid", BAD_ALGORITHM, lambda f: f.token({"alg": "EdDSA", "kid": "any"}, key="ed"))
bad("ES384 by a P-256 key", BAD_ALGORITHM, lambda f: f.token({"alg": "ES384"}, key="ec"))
bad("ES256 by a P-521 key", BAD_ALGORITHM, lambda f: f.token({"alg": "ES256", "kid": "ec521"}, key="ec"))
bad("PS256 padding called RS256", BAD_SIGNATURE, lambda f: f.token({"alg": "RS256"}, key="any", sign_as="PS256"))
bad("RS512 hash called RS256", BAD_SIGNATURE, lambda f: f.token({"alg": "RS256"}, key="any", sign_as="RS512"))

# keys
for kid in (
    "absent",
    "",
    "RSA",
    "rsa ",
    "rsa\x00",
    "../../../../dev/null",
    "/dev/null",
    "x' UNION SELECT 'AA'--",
    "| whoami",
    "https://evil.test/key",
    "${jndi:ldap://evil.test}",
    "кид",
    "r" * 6000,
):
    header(f"kid {kid[:24]!a}", UNKNOWN_KEY, kid=kid)
for kid in ("enc", "oaep", "weak", "oct", "roca", "leaked", "quantum", "odd-use", "odd-ops", "e1"):
    bad(f"the listed but unusable key {kid}", UNKNOWN_KEY, lambda f, k=kid: f.token({"kid": k}, key="stolen"))
bad("an unusable EC key", UNKNOWN_KEY, lambda f: f.token({"kid": "off-curve"}, key="ec"))
header("no kid where several keys fit", UNKNOWN_KEY, kid=...)
bad("the second key of a kid", BAD_SIGNATURE, lambda f: f.token({"kid": "rsa"}, key="stolen"))
bad(
    "a key of the attacker's, embedded",
    BAD_SIGNATURE,
    lambda f: f.token({"kid": "rsa", "jwk": f.keys["stolen"].as_dict()}, key="stolen"),
)
bad(
    "the same without kid",
    UNKNOWN_KEY,
    lambda f: f.token({"kid": ..., "jwk": f.keys["stolen"].as_dict()}, key="stolen"),
)
for member in ("jku", "x5u"):
    bad(f"a key behind {member}", BAD_SIGNATURE, lambda f, m=member: f.token({m: EVIL, "kid": "rsa"}, key="stolen"))
    bad(f"only {member}", UNKNOWN_KEY, lambda f, m=member: f.token({m: EVIL, "kid": "evil"}, key="stolen"))
bad("a certificate in x5c", BAD_SIGNATURE, lambda f: f.token({"x5c": ["MIIB"], "kid": "rsa"}, key="stolen"))

# signatures
bad("no signature", BAD_SIGNATURE, lambda f: f.token(signature=b""))
bad("zeros, RSA", BAD_SIGNATURE, lambda f: f.token(signature=bytes(256)))
bad("one, RSA", BAD_SIGNATURE, lambda f: f.token(signature=bytes(255) + b"\x01"))
bad("too short, RSA", BAD_SIGNATURE, lambda f: f.token(signature=b"x"))
bad("too long, RSA", BAD_SIGNATURE, lambda f: f.token(signature=bytes(512)))
bad("one bit other", BAD_SIGNATURE, flipped)
bad("another token's header", BAD_SIGNATURE, lambda f: swapped(f, 0))
bad("another token's claims", BAD_SIGNATURE, lambda f: swapped(f, 1))
bad("another token's signature", BAD_SIGNATURE, lambda f: swapped(f, 2))
bad("psychic: zeros, ES256", BAD_SIGNATURE, lambda f: f.token(key="ec", signature=bytes(64)))
bad("psychic: zeros, ES384", BAD_SIGNATURE, lambda f: f.token(key="ec384", signature=bytes(96)))
bad("psychic: zeros, ES512", BAD_SIGNATURE, lambda f: f.token(key="ec521", signature=bytes(132)))
bad("psychic: r = n, s = n", BAD_SIGNATURE, lambda f: f.token(key="ec", signature=P256_ORDER.to_bytes(32, "big") * 2))
bad("psychic: r = 1, s = n - 1", BAD_SIGNATURE, lambda f: f.token(key="ec", signature=negated_s(f)))
bad("psychic: all ones", BAD_SIGNATURE, lambda f: f.token(key="ec", signature=b"\xff" * 64))
bad("ES256 in DER", BAD_SIGNATURE, der_signature)
bad("ES256 of no length", BAD_SIGNATURE, lambda f: f.token(key="ec", signature=b""))
bad("ES256 of odd length", BAD_SIGNATURE, lambda f: f.token(key="ec", signature=bytes(63)))
bad("ES256 by another key", BAD_SIGNATURE, lambda f: f.token({"kid": "ec"}, key="stolen-ec"))
bad("zeros, EdDSA", BAD_SIGNATURE, lambda f: f.token({"alg": "EdDSA"}, key="ed", signature=bytes(64)))
bad("small order, EdDSA", BAD_SIGNATURE, lambda f: f.token({"alg": "Ed25519"}, key="ed", signature=b"\x01" + bytes(63)))
bad("of no length, EdDSA", BAD_SIGNATURE, lambda f: f.token({"alg": "EdDSA"}, key="ed", signature=b""))

# dates; the leeway is 30 s
claim("exp long ago", reasons.EXPIRED, exp=1)
claim("exp zero", reasons.EXPIRED, exp=0)
claim("exp negative", reasons.EXPIRED, exp=-1)
claim("exp hugely negative", reasons.EXPIRED, exp=-(10**400))
claim("exp a fraction past", reasons.EXPIRED, exp=NOW - 30.5)
claim("exp at the leeway", reasons.EXPIRED, exp=NOW - 30)
claim("exp missing", 'missing claim "exp"', exp=...)
claim("exp null", 'missing claim "exp"', exp=None)
for value in ("1800003600", "never", True, False, [], {}, [1800003600]):
    claim(f"exp {value!r}", MALFORMED, exp=value)
    claim(f"nbf {value!r}", MALFORMED, nbf=value)
    claim(f"iat {value!r}", MALFORMED, iat=value)
claim("nbf to come", reasons.NOT_YET, nbf=NOW + 31)
claim("nbf at the end of time", reasons.NOT_YET, nbf=10**400)
claim("nbf 1e308", reasons.NOT_YET, nbf=1e308)
claim("iat to come", reasons.FROM_FUTURE, iat=NOW + 31)
claim("iat in milliseconds", reasons.FROM_FUTURE, iat=NOW * 1000)
claim("exp too far off", reasons.LIVES_TOO_LONG, exp=NOW + 7201)
claim("exp in milliseconds", reasons.LIVES_TOO_LONG, exp=(NOW + 3600) * 1000)
claim("exp at the end of time", reasons.LIVES_TOO_LONG, exp=10**400)
claim("iat at the beginning of time", reasons.LIVES_TOO_LONG, iat=-(10**400))
claim("iat missing where lifetimes are limited", 'missing claim "iat"', iat=...)
claim("expired and for somebody else", reasons.EXPIRED, exp=1, aud="other")

# audiences and other claims
claim("aud missing", 'missing claim "aud"', aud=...)
claim("aud null", 'missing claim "aud"', aud=None)
for value in ("", [], "other", ["other"], ["other", "LLM"], 5, True, {}, ["llm", 5], [["llm"]], {"llm": 1}, [None]):
    claim(f"aud {value!r}", WRONG_AUDIENCE, aud=value)
for value in ("LLM", "llm ", "llm,other", "llm other", "ll", "llm\x00", "*"):
    claim(f"aud {value!r}", WRONG_AUDIENCE, aud=value)
claim("wrong audience and a claim missing", WRONG_AUDIENCE, aud="other", team=...)
for value in (..., None, "", [], {}):
    claim(f"team {value!r}", 'missing claim "team"', team=value)
claim("hd missing", 'missing claim "hd"', hd=...)
for value in ("other.test", "acme.test.evil.test", ["other.test"], 5, {"acme.test": 1}):
    claim(f"hd {value!r}", 'claim "hd" has a value that is not accepted', hd=value)
for value in (5, True, ["alice"], {}, None):
    claim(f"sub {value!r}", MALFORMED, sub=value)
claim("jti a number", MALFORMED, jti=5)

# tokens for something else
for value in ("logout+jwt", "secevent+jwt", "dpop+jwt", "JWE", "at+jwt+x", " JWT", "application/okta-internal-at+jwt"):
    header(f"typ {value!r}", NOT_ACCESS_TOKEN, typ=value)
for value in ("ID", "Refresh", "Offline", "Logout"):
    claim(f"typ {value}", NOT_ACCESS_TOKEN, typ=value)
for value in ("id", "", None, [], ["access"], 5):
    claim(f"token_use {value!r}", NOT_ACCESS_TOKEN, token_use=value)
for value in ({"jkt": "x"}, {"x5t#S256": "x"}, None):
    claim(f"cnf {value!r}", reasons.BOUND, cnf=value)
claim("nonce", NOT_ACCESS_TOKEN, nonce="n")
claim("events", NOT_ACCESS_TOKEN, events={"http://schemas.openid.net/event/backchannel-logout": {}})


async def never(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError("a bad token was let through")


@pytest.fixture
def app(web: Any, clock: Any, provider: Any) -> JWTAuthMiddleware:
    accepted = provider(required_claims=("exp", "team"), required_values={"hd": ["acme.test"]}, max_lifetime=7200)
    return JWTAuthMiddleware(never, providers=[accepted], client=web, now=clock)


@pytest.mark.parametrize(("make", "text"), CASES)
async def test_a_bad_token_is_refused_in_so_many_words(
    make: Make, text: str, app: Any, forge: Any, web: Any, signatures: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    token = make(forge)
    reply = await call(app, "POST", "/v1/messages", headers={"authorization": f"Bearer {token}"})
    assert reply.status == 401
    kind, message = reply.json()["error"].values()
    assert kind == "authentication_error"
    assert message.startswith(f"authentication failure: {text}")
    advice = message.removeprefix(f"authentication failure: {text}").removeprefix("; ")
    assert advice in ([""] if text == reasons.EXPIRED else [reasons.SIGN_IN, reasons.CHECK_CLIENT])
    assert reply.headers["www-authenticate"] == 'Bearer error="invalid_token"'
    assert reply.headers["x-should-retry"] == "false"
    assert len(signatures) <= 1
    assert EVIL not in web.asked
    assert len(web.asked) <= 1
    said = caplog.text + reply.body.decode()
    assert not [part for part in token.split(".") if len(part) > 20 and part in said]
    assert "alice" not in said
    assert "Traceback" not in caplog.text


GOOD: dict[str, Make] = {
    "RS256": lambda f: f.token(),
    "RS512": lambda f: f.token({"alg": "RS512"}, key="any"),
    "PS256": lambda f: f.token({"alg": "PS256"}, key="any"),
    "ES256": lambda f: f.token(key="ec"),
    "ES384": lambda f: f.token(key="ec384"),
    "ES512": lambda f: f.token(key="ec521"),
    "EdDSA": lambda f: f.token({"alg": "EdDSA"}, key="ed"),
    "Ed25519": lambda f: f.token({"alg": "Ed25519"}, key="ed"),
    "no kid, one key fits": lambda f: f.token({"kid": ...}, key="ec"),
    "no typ": lambda f: f.token({"typ": ...}),
    "typ at+jwt": lambda f: f.token({"typ": "at+jwt"}),
    "typ in capitals": lambda f: f.token({"typ": "APPLICATION/AT+JWT"}),
    "vendors' header members": lambda f: f.token({"x5t": "abc", "x5t#S256": "abc", "nonce": "abc", "org.acme": [1]}),
    "a certificate chain in the header": lambda f: f.token({"x5c": ["A" * 2000, "B" * 2000]}),
    "several audiences": lambda f: f.token(claims={"aud": ["account", "llm"]}),
    "a fractional date": lambda f: f.token(claims={"exp": NOW + 3600.25}),
    "expired within the leeway": lambda f: f.token(claims={"exp": NOW - 29, "iat": NOW - 100}),
    "from the future within the leeway": lambda f: f.token(claims={"iat": NOW + 30, "nbf": NOW + 30}),
    "a list where one value will do": lambda f: f.token(claims={"hd": ["other.test", "acme.test"]}),
    "Keycloak's typ": lambda f: f.token(claims={"typ": "Bearer"}),
    "other people's letters": lambda f: f.token(claims={"name": "Zoë 😀", "x": "\x00"}),
    "nested as deeply as may be": lambda f: f.token(claims={"x": json.loads("[" * 31 + "]" * 31)}),
    "nested as deeply as may be, beside many": lambda f: f.token(
        claims={"x": json.loads("[" * 31 + "]" * 31), "y": [[]] * 99}
    ),
    "many small objects": lambda f: f.token(claims={"x": [{}] * 500}),
    "no sub": lambda f: f.token(claims={"sub": ...}),
}


@pytest.mark.parametrize("make", GOOD.values(), ids=GOOD)
async def test_what_the_bad_ones_were_made_from_is_good(
    make: Make, app: Any, forge: Any, signatures: list[str]
) -> None:
    identity = await app.verifier.verify(make(forge))
    assert (identity.issuer, identity.claims["team"]) == ("https://idp.test", "data")
    assert len(signatures) == 1


def test_the_battery_is_large_enough() -> None:
    assert len(CASES) >= 300
