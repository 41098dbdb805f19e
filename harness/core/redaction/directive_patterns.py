"""Secrets in lines of programs' settings that have no sign between a name and its value: keepalived, Redis, HAProxy, netrc, snmpd, drbd and
others, from each one's manual page. Pure."""

from __future__ import annotations

import re

from harness.core.redaction.value_forms import GONE, NAMES, VALUE_OF_OPTION, Form, LatePattern, Patterns

_I, _M = re.IGNORECASE, re.MULTILINE
# What goes on like this is a sentence about the setting.
_PROSE = (
    r"(?!(?:is|was|are|not|must|has|had|have|and|or|to|in|on|for|from|of|with|set|option|directive|line|value|no|yes|required|requisite|sufficient"
    r"|optional|include|substack|auth\w{0,12}|files?|changed|expired|accepted|rejected|mismatch\w{0,2}|incorrect|invalid|failed|failure|missing|ok"
    r"|wrong|prompt\w{0,3}|polic(?:y|ies)|aging|ag"
    r"(?:e|ing)|check\w{0,3}|will|can\w{0,3}|may|should|does|did|but|if|protected|updated|reset|empty"
    r"|management|manager|database|store|hash\w{0,3}|timeout|received|lost|retransmit|requests?)(?![\w-]))"
)
# Unmistakable wherever they stand.
_DIRECTIVES = (
    r"auth_pass|requirepass|masterauth|insecure-password|wpa-"
    r"(?:psk|passphrase)|wireless-key\d?|wep-key\d?|key-string|shared-secret|bindpw|rootbindpw"
    r"|ro(?:6)?community6?|rw"
    r"(?:6)?community6?|trapcommunity|snmp-server\s{1,4}community|authentication-key|sentinel\s{1,4}auth-pass\s{1,4}\S{1,100}"
    r"|message-digest-key\s{1,4}\d{1,4}\s{1,4}md5|password_pbkdf2\s{1,4}\S{1,100}|crypto[ \t]pw|enable[ \t](?:password|secret)"
)

_DIRECTIVES_WORDS = (
    "auth_pass", "requirepass", "masterauth", "insecure-password", "wpa-", "wireless-key", "wep-key", "key-string", "shared-secret",
    "bindpw",
    "community", "authentication-key", "auth-pass", "message-digest-key", "password_pbkdf2", "crypto pw", "crypto\tpw", "enable password",
    "enable secret", "enable\tpassword", "enable\tsecret",
)  # fmt: skip

PATTERNS: Patterns = (
    Form(
        _DIRECTIVES_WORDS,
        LatePattern(
            rf"((?<![\w$-])(?:{_DIRECTIVES})[ \t]{{1,40}}(?>(?:\d[ \t]{{1,4}})?))(?![=:\[]){_PROSE}{VALUE_OF_OPTION}",
            _I,
        ),
        rf"\1{GONE}",
        also=NAMES,
    ),
    Form(
        ("inguser", "goinguser"),
        LatePattern(rf"(\b(?:incoming|outgoing)user[ \t]{{1,4}}\S{{1,100}}[ \t]{{1,4}}){VALUE_OF_OPTION}", _I),
        rf"\1{GONE}",
    ),
    Form(  # a line of two words: Quagga, GRUB, netrc's lines
        ("password", "passphrase", "passwd", "secret", "psk", "pre-shared-key"),
        LatePattern(
            rf"(^[ \t]{{0,40}}(?:password|passphrase|passwd|secret|psk|pre-shared-key)[ \t]{{1,40}}(?>"
            rf"(?:--md5[ \t]{{1,4}}|\d[ \t]{{1,4}})?))(?![=:|]){_PROSE}"
            rf"{VALUE_OF_OPTION}(?=[ \t\r]{{0,8}};?[ \t\r]{{0,8}}$)",
            _I | _M,
        ),
        rf"\1{GONE}",
        also=NAMES,
    ),
    Form(
        ("password", "passphrase", "secret", "psk"),
        LatePattern(r"(\b(?:password|passphrase|secret|psk)[ \t]{1,40})\"[^\"\n]{1,400}(?:\"(?=[ \t]{0,4}(?:;|\}))|\Z)", _I),
        rf"\1{GONE}",
        also=('"',),
    ),
    Form(
        ("machine", "login"),
        LatePattern(rf"(\b(?:machine\s{{1,8}}\S{{1,200}}|login\s{{1,8}}\S{{1,200}})\s{{1,80}}password\s{{1,8}}){_PROSE}{VALUE_OF_OPTION}"),
        rf"\1{GONE}",
    ),
    Form(("stats",), LatePattern(r"(\bstats\s{1,4}auth\s{1,4}[^\s:]{1,100}:)\S{1,400}"), rf"\1{GONE}"),
    Form(
        ("user",),
        LatePattern(r"(^[ \t]{0,8}user[ \t]{1,4}\S{1,100}[ \t](?:[^\n]{0,200}?[ \t])?>)[^\s]{1,400}", _I | _M),
        rf"\1{GONE}",
        also=(">",),
    ),  # Redis
    Form(("neighbor",), LatePattern(rf"(\bneighbor\s{{1,4}}\S{{1,100}}\s{{1,4}}password\s{{1,4}}){VALUE_OF_OPTION}"), rf"\1{GONE}"),
    # snmpd
    Form(
        ("com2sec",),
        LatePattern(
            rf"(^[ \t]{{0,8}}com2sec6?\s{{1,40}}"
            rf"(?:-Cn\s{{1,4}}\S{{1,100}}\s{{1,40}})?\S{{1,100}}\s{{1,40}}\S{{1,200}}\s{{1,40}}){VALUE_OF_OPTION}",
            _I | _M,
        ),
        rf"\1{GONE}",
    ),
    Form(
        ("createuser",),
        LatePattern(rf"(\bcreateUser\s[^\n]{{0,300}}?\b(?:DES|AES[\w-]{{0,8}})\s{{1,40}}){VALUE_OF_OPTION}", _I),
        rf"\1{GONE}",
    ),
    Form(
        ("createuser",),
        LatePattern(rf"(\bcreateUser\s[^\n]{{0,200}}?\b(?:MD5|SHA[\w-]{{0,8}})\s{{1,40}}){VALUE_OF_OPTION}", _I),
        rf"\1{GONE}",
    ),
    Form(
        ("sink",),
        LatePattern(rf"(^[ \t]{{0,8}}(?:trap2?|inform)sink\s{{1,40}}\S{{1,200}}[ \t]{{1,40}}){VALUE_OF_OPTION}", _I | _M),
        rf"\1{GONE}",
    ),
    # ipsec.secrets
    Form(
        ("psk", "xauth", "eap", "ntlm", "pin"),
        LatePattern(rf"((?:^|\s):[ \t]{{0,8}}(?:PSK|XAUTH|EAP|NTLM|PIN)[ \t]{{1,40}}){VALUE_OF_OPTION}", _M),
        rf"\1{GONE}",
    ),
    Form(
        ("rsa", "ecdsa", "p12", "pkcs8"),
        LatePattern(r"((?:^|\s):[ \t]{0,8}(?:RSA|ECDSA|P12|PKCS8)[ \t]{1,40}\S{1,400}[ \t]{1,40})\"[^\"\n]{1,400}\"?", _M),
        rf"\1{GONE}",
    ),
    Form(  # keys of chronyd and ntpd
        ("md5", "sha", "aes", " m ", "\tm\t", "\tm ", " m\t", "tiger", "whirlpool", "rmd160"),
        LatePattern(
            r"(^[ \t]{0,8}\d{1,10}[ \t]{1,40}(?:M|MD5|SHA\d{0,3}"
            r"(?:-\d{1,3})?|AES[\w-]{1,12}|TIGER|WHIRLPOOL|RMD160)[ \t]{1,40})[^\s#]{1,1000}(?=[ \t\r]{0,40}(?:#|$))",
            _M,
        ),
        rf"\1{GONE}",
    ),
    Form(  # corosync.conf's own key, and Consul's and Serf's
        ("key", "encrypt"),
        LatePattern(
            r"(^[ \t]{0,40}[\"']?(?:key|encrypt(?:_key)?)[\"']?[ \t]{0,40}[:=][ \t]{0,40}[\"']?)"
            r"(?![/~])[A-Za-z0-9+/=_-]{22,4000}(?=[\"']?,?[ \t\r]{0,8}$)",
            _M,
        ),
        rf"\1{GONE}",
    ),
)
