"""Secrets in lines of programs' settings and of their talk that have no sign between a name and its value: keepalived, Redis, HAProxy,
netrc, snmpd, drbd, pppd, Postfix, FTP and others, from each one's manual page. Pure."""

from __future__ import annotations

import re

from harness.core.redaction.value_forms import NAMES, REMOVED, VALUE_OF_OPTION, Form, Patterns
from harness.core.text.late_pattern import LatePattern

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

PPP_HEADING = r"[ \t]{0,8}#[ \t]{0,8}client[ \t]{1,40}server[ \t]{1,40}secret\b"
_PPP_SECRET = r"(?:\"[^\"\n]{1,400}\"?|[^\s\"#*][^\s\"]{0,400})"
_PPP_ADDRESS = r"(?:\*|-|!?[0-9a-fA-F.:]{2,45}(?:/\d{1,3})?)"
_PPP_WORD = r"(?:\"[^\"\n]{1,100}\"|[^\s\"#]{1,100})"
_PPP_LINE = re.compile(rf"(^[ \t]{{0,8}}{_PPP_WORD}[ \t]{{1,40}}{_PPP_WORD}[ \t]{{1,40}}){_PPP_SECRET}", _M)
FTP_USER = r"\bUSER \S{1,100}(?:(?=\s{0,4}$)|[\"'])"
_FTP_SECRET = r"(?:[^\n\r\"'\\]|\\(?![rn])){1,400}"

PATTERNS: Patterns = (
    Form(
        _DIRECTIVES_WORDS,
        LatePattern(
            rf"((?<![\w$-])(?:{_DIRECTIVES})[ \t]{{1,40}}(?>(?:\d[ \t]{{1,4}})?))(?![=:\[]){_PROSE}{VALUE_OF_OPTION}",
            _I,
        ),
        rf"\1{REMOVED}",
        also=NAMES,
    ),
    Form(
        ("inguser", "goinguser"),
        LatePattern(rf"(\b(?:incoming|outgoing)user[ \t]{{1,4}}\S{{1,100}}[ \t]{{1,4}}){VALUE_OF_OPTION}", _I),
        rf"\1{REMOVED}",
    ),
    Form(  # a line of two words: Quagga, GRUB, netrc's lines
        ("password", "passphrase", "passwd", "secret", "psk", "pre-shared-key"),
        LatePattern(
            rf"(^[ \t]{{0,40}}(?:password|passphrase|passwd|secret|psk|pre-shared-key)[ \t]{{1,40}}(?>"
            rf"(?:--md5[ \t]{{1,4}}|\d[ \t]{{1,4}})?))(?![=:|]){_PROSE}"
            rf"{VALUE_OF_OPTION}(?=[ \t\r]{{0,8}};?[ \t\r]{{0,8}}$)",
            _I | _M,
        ),
        rf"\1{REMOVED}",
        also=NAMES,
    ),
    Form(
        ("password", "passphrase", "secret", "psk"),
        LatePattern(r"(\b(?:password|passphrase|secret|psk)[ \t]{1,40})\"[^\"\n]{1,400}(?:\"(?=[ \t]{0,4}(?:;|\}))|\Z)", _I),
        rf"\1{REMOVED}",
        also=('"',),
    ),
    Form(
        ("machine", "login"),
        LatePattern(rf"(\b(?:machine\s{{1,8}}\S{{1,200}}|login\s{{1,8}}\S{{1,200}})\s{{1,80}}password\s{{1,8}}){_PROSE}{VALUE_OF_OPTION}"),
        rf"\1{REMOVED}",
    ),
    Form(("stats",), LatePattern(r"(\bstats\s{1,4}auth\s{1,4}[^\s:]{1,100}:)\S{1,400}"), rf"\1{REMOVED}"),
    Form(
        ("user",),
        LatePattern(r"(^[ \t]{0,8}user[ \t]{1,4}\S{1,100}[ \t](?:[^\n]{0,200}?[ \t])?>)[^\s]{1,400}", _I | _M),
        rf"\1{REMOVED}",
        also=(">",),
    ),  # Redis
    Form(("neighbor",), LatePattern(rf"(\bneighbor\s{{1,4}}\S{{1,100}}\s{{1,4}}password\s{{1,4}}){VALUE_OF_OPTION}"), rf"\1{REMOVED}"),
    # snmpd
    Form(
        ("com2sec",),
        LatePattern(
            rf"(^[ \t]{{0,8}}com2sec6?\s{{1,40}}"
            rf"(?:-Cn\s{{1,4}}\S{{1,100}}\s{{1,40}})?\S{{1,100}}\s{{1,40}}\S{{1,200}}\s{{1,40}}){VALUE_OF_OPTION}",
            _I | _M,
        ),
        rf"\1{REMOVED}",
    ),
    Form(
        ("createuser",),
        LatePattern(rf"(\bcreateUser\s[^\n]{{0,300}}?\b(?:DES|AES[\w-]{{0,8}})\s{{1,40}}){VALUE_OF_OPTION}", _I),
        rf"\1{REMOVED}",
    ),
    Form(
        ("createuser",),
        LatePattern(rf"(\bcreateUser\s[^\n]{{0,200}}?\b(?:MD5|SHA[\w-]{{0,8}})\s{{1,40}}){VALUE_OF_OPTION}", _I),
        rf"\1{REMOVED}",
    ),
    Form(
        ("sink",),
        LatePattern(rf"(^[ \t]{{0,8}}(?:trap2?|inform)sink\s{{1,40}}\S{{1,200}}[ \t]{{1,40}}){VALUE_OF_OPTION}", _I | _M),
        rf"\1{REMOVED}",
    ),
    # ipsec.secrets
    Form(
        ("psk", "xauth", "eap", "ntlm", "pin"),
        LatePattern(rf"((?:^|\s):[ \t]{{0,8}}(?:PSK|XAUTH|EAP|NTLM|PIN)[ \t]{{1,40}}){VALUE_OF_OPTION}", _M),
        rf"\1{REMOVED}",
    ),
    Form(
        ("rsa", "ecdsa", "p12", "pkcs8"),
        LatePattern(r"((?:^|\s):[ \t]{0,8}(?:RSA|ECDSA|P12|PKCS8)[ \t]{1,40}\S{1,400}[ \t]{1,40})\"[^\"\n]{1,400}\"?", _M),
        rf"\1{REMOVED}",
    ),
    Form(  # keys of chronyd and ntpd
        ("md5", "sha", "aes", " m ", "\tm\t", "\tm ", " m\t", "tiger", "whirlpool", "rmd160"),
        LatePattern(
            r"(^[ \t]{0,8}\d{1,10}[ \t]{1,40}(?:M|MD5|SHA\d{0,3}"
            r"(?:-\d{1,3})?|AES[\w-]{1,12}|TIGER|WHIRLPOOL|RMD160)[ \t]{1,40})[^\s#]{1,1000}(?=[ \t\r]{0,40}(?:#|$))",
            _M,
        ),
        rf"\1{REMOVED}",
    ),
    Form(  # corosync.conf's own key, and Consul's and Serf's
        ("key", "encrypt"),
        LatePattern(
            r"(^[ \t]{0,40}[\"']?(?:key|encrypt(?:_key)?)[\"']?[ \t]{0,40}[:=][ \t]{0,40}[\"']?)"
            r"(?![/~])[A-Za-z0-9+/=_-]{22,4000}(?=[\"']?,?[ \t\r]{0,8}$)",
            _M,
        ),
        rf"\1{REMOVED}",
    ),
    # pppd's chap-secrets and pap-secrets: client, server, secret, addresses. Any server is a star; what names one is known by the
    # columns' heading alone, which Debian's files have, because "node1 reached node2 10.0.0.2" looks the same.
    Form(
        (" * ", "\t*\t", "\t* ", " *\t"),
        LatePattern(
            rf"(^[ \t]{{0,8}}(?:\"[^\"\n]{{1,100}}\"|(?=[^\s]{{0,60}}[A-Za-z])[^\s\"*=:#]{{1,100}})[ \t]{{1,40}}\*[ \t]{{1,40}})"
            rf"{_PPP_SECRET}(?=(?:[ \t]{{1,40}}{_PPP_ADDRESS}){{0,8}}[ \t\r]{{0,8}}$)",
            _M,
        ),
        rf"\1{REMOVED}",
    ),
    Form(
        ("secret",),
        LatePattern(rf"^{PPP_HEADING}[^\n]{{0,200}}(?:\n(?![ \t\r]*$)[^\n]{{0,400}}){{1,40}}", _M),
        lambda table: _PPP_LINE.sub(rf"\1{REMOVED}", table[0]),
        also=("client",),
    ),
    # Postfix's sasl_passwd: a relay, user:secret. Said of a mail's port anywhere, otherwise as a line of its own.
    Form(
        (":25", ":465", ":587", ":2525", ":smtp", ":submission"),
        LatePattern(
            r"((?:^|[\s\"'])(?:\[[\w.:-]{1,200}\]|(?:[\w-]{1,63}\.){1,9}[\w-]{1,63}):(?:25|465|587|2525|smtps?|submissions?)[ \t]{1,40}"
            r"[^\s:\"']{1,200}:)[^\s\"']{1,400}(?=[\"'\s]|\Z)",
            _M,
        ),
        rf"\1{REMOVED}",
    ),
    Form(
        ("smtp", "mail", "relay", "mx", "["),
        LatePattern(
            r"(^[ \t]{0,8}(?:\[(?:[\w-]{1,63}\.){1,9}[A-Za-z][\w-]{1,62}\]|(?:smtp|mail|relay|mx)[\w-]{0,40}"
            r"(?:\.[\w-]{1,63}){1,9})"
            r"[ \t]{1,40}[^\s:/\"']{1,200}:)[^\s\"']{1,400}(?=[ \t\r]{0,8}$)",
            _I | _M,
        ),
        rf"\1{REMOVED}",
    ),
    Form(  # of one sender
        ("@",),
        LatePattern(
            r"(^[ \t]{0,8}[\w.+-]{1,64}@(?:[\w-]{1,63}\.){1,9}[A-Za-z][\w-]{1,62}[ \t]{1,40}[^\s:/\"']{1,200}:)"
            r"[^\s\"']{1,400}(?=[ \t\r]{0,8}$)",
            _M,
        ),
        rf"\1{REMOVED}",
    ),
    # FTP and POP3, as programs show what they send: behind a sign or in quotes, or after USER. A test's verdict is PASS, too.
    Form(
        ("pass ", "pass\t"),
        LatePattern(rf"((?:(?:^|\s)(?:-{{0,4}}>|[CS]:)[ \t]{{1,4}}|[\"']|\\{{1,8}}[rn])PASS[ \t]){_FTP_SECRET}"),
        rf"\1{REMOVED}",
        also=NAMES,
    ),
    Form(
        ("user ",),
        LatePattern(rf"({FTP_USER}(?:[^\n]{{0,200}}\n){{1,4}}?[^\n]{{0,60}}?\bPASS[ \t]){_FTP_SECRET}", _M),
        rf"\1{REMOVED}",
        also=NAMES,
    ),
)
