"""What looks like a secret: in programs' arguments, addresses, headers, SQL, XML, and by its own shape. Values behind names are
`assignments`, lines of programs' settings `directive_patterns`. Pure."""

from __future__ import annotations

import re

from harness.core.redaction.secret_names import SHORT_WORDS, WORDS
from harness.core.redaction.value_forms import NAME, NAMES, REMOVED, VALUE, VALUE_OF_OPTION, Form, Patterns
from harness.core.text.late_pattern import LatePattern

_I = re.IGNORECASE


def _tag(match: re.Match[str]) -> str:
    """The value of an XML element whose name attribute names a secret, in whatever order they stand."""
    return re.sub(r"(\bvalue=)(?:\"[^\"]{0,4000}\"|'[^']{0,4000}'|[\"'][^\n]{0,4000})", rf"\1{REMOVED}", match[0], flags=re.IGNORECASE)


# Names and values that stand in two places of one thing, in JSON, YAML, TOML and programs' own notations.
_Q = r"\\{0,8}[\"']"
_WHOLE_NAME = rf"[\w./-]{{0,60}}(?:{WORDS}|{SHORT_WORDS})\w{{0,20}}(?<!_file)(?<!_env)(?<!_command)(?<!_path)"
_OF_NAME = r"(?:name|key|id|variable|param(?:eter)?|option|property|attribute|field|label|setting|env)"
_SIGN = r"\s{0,4}(?:=>|[:=])\s{0,4}"
_WORD_OR_QUOTED = (  # never gone back into
    r"(?>\\{0,8}\"(?:[^\"\\\n]|\\(?!\")){0,1000}\\{0,8}\"|\\{0,8}'(?:[^'\\\n]|\\(?!')){0,1000}\\{0,8}'|[^\s,;{}\[\]\"']{1,1000})"
)
# Its end may have been cut off; in `usage: tool <password> HOST` nothing was.
_IN_XML = r"(?:(?:\s{0,40}<!\[CDATA\[.{0,4000}?\]\]>\s{0,40}|[^<]{1,4000})(?=</)|(?:<!\[CDATA\[)?[^\s<\[]{1,1000}\Z)"


_QUOTED_BY_A_SENTENCE = tuple(f"{word}{sign} {quote}" for word in ("is", "was", "to") for sign in ("", ":") for quote in "\"'`")

KEYS: Patterns = (
    Form(
        ("private key",),
        LatePattern(r"-----BEGIN ([A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?)-----.*?(?:-----END \1-----|\Z)", re.DOTALL),
        REMOVED,
    ),
    Form(
        ("private-lines: ",),
        LatePattern(
            r"(\bPrivate-Lines: \d{1,4})(\s|\\{1,8}[rn]).{1,6000}?(?:((?:\n[^\n]{0,200})?\bPrivate-MAC: )[0-9a-f]{1,128}|\Z)", re.DOTALL
        ),
        lambda found: f"{found[1]}{found[2]}{REMOVED}{found[3] + REMOVED if found[3] else ''}",
    ),
    Form(
        ("static key",),
        LatePattern(r"-----BEGIN OpenVPN Static key V\d{1,2}-----.*?(?:-----END OpenVPN Static key V\d{1,2}-----|\Z)", re.DOTALL),
        REMOVED,
    ),
)
"""Private keys: before all else, because a value behind a name may be the beginning of one."""

PATTERNS: Patterns = (
    Form(("://",), LatePattern(r"(\b[a-z][a-z0-9+.-]{0,30}://[^\s/@:]{0,200}):[^\s/]{1,1000}@", _I), rf"\1:{REMOVED}@"),
    Form(("://",), LatePattern(r"(\bhttps?://)[^\s/@:]{1,400}@", _I), rf"\1{REMOVED}@"),
    Form(
        ("authorization",),
        LatePattern(r"(\bauthorization[\"']?\s{0,4}[:=]\s{0,4}[\"']?(?:[a-z]{1,20}\s{1,4})?)[^\s,;\"']{1,4000}", _I),
        rf"\1{REMOVED}",
    ),
    Form(("cookie",), LatePattern(r"(\b(?:set-)?cookie[\"']?\s{0,4}:\s{0,4})[^\n]{1,4000}", _I), rf"\1{REMOVED}"),
    Form(("bearer",), LatePattern(r"(\bbearer\s{1,4})[A-Za-z0-9._~+/=-]{8,4000}", _I), rf"\1{REMOVED}"),
    Form(("eyj",), LatePattern(r"\beyJ[A-Za-z0-9_-]{8,4000}\.[A-Za-z0-9_-]{4,4000}(?:\.[A-Za-z0-9_-]{0,4000})?"), REMOVED),
    Form(
        ("$", "md5"),
        LatePattern(r"\bSCRAM-SHA-256\$[^\s\"']{1,400}|\bmd5[0-9a-f]{32}\b|\$(?:1|2[aby]|5|6|7|y)\$[./A-Za-z0-9$=,]{8,400}"),
        REMOVED,
    ),
    Form(
        ("akia", "asia", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "xox"),
        LatePattern(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b|\bgh[pousr]_[A-Za-z0-9]{20,400}|\bxox[abprs]-[A-Za-z0-9-]{10,400}"),
        REMOVED,
    ),
    Form(("hvs.", "hvb.", "hvr."), LatePattern(r"\bhv[sbr]\.[A-Za-z0-9_-]{8,400}"), REMOVED),
    Form(
        ("sig=", "signature=", "code=", "access_token=", "client_secret="),
        LatePattern(r"((?:[?&;]|\\{1,8}u0026|&amp;)(?:sig|signature|code|access_token|client_secret)=)[^\s&\"';\\]{1,1000}", _I),
        rf"\1{REMOVED}",
    ),
    Form(("password(",), LatePattern(r"(\bpassword\()(?:\"[^\"\n]{1,1000}\"?|'[^'\n]{1,1000}'?)", _I), rf"\1{REMOVED}"),
    Form(
        ("identified",),
        LatePattern(
            rf"(\bidentified\s{{1,4}}(?:with\s{{1,4}}\S{{1,60}}\s{{1,4}})?(?:by|as|using)\s{{1,4}}(?:"
            rf"(?:values|password)\s{{1,4}})?){VALUE}",
            _I,
        ),
        rf"\1{REMOVED}",
    ),
    Form(("set password",), LatePattern(rf"(\bset password\s{{1,4}}\d{{1,3}}\s{{1,4}}){VALUE_OF_OPTION}", _I), rf"\1{REMOVED}"),  # ipmitool
    Form(("temporary",), LatePattern(r"(\btemporary\s{1,4}password\b[^\n]{0,120}?:\s{1,4})\S{1,1000}", _I), rf"\1{REMOVED}"),  # MySQL's
    Form(
        _QUOTED_BY_A_SENTENCE,
        LatePattern(
            r"(\b(?:password|passphrase|passwd|pwd|secret)(?: [a-z]{1,20}){0,4}? (?:is|was|to):? )"
            r"(?:\"[^\"\n]{1,1000}\"?|'[^'\n]{1,1000}'?|`[^`\n]{1,1000}`?)",
            _I,
        ),
        rf"\1{REMOVED}",
        also=NAMES,
    ),
    Form(("password",), LatePattern(r"(\bpassword\s{1,4})(?:[EN]|U&)?'(?:[^'\n]|''){0,1000}'?", _I), rf"\1{REMOVED}", also=("'",)),
    Form(
        ("set password", "set  password", "set\tpassword", "set\npassword"),
        LatePattern(
            rf"(\bset(?: {{1,2}}|[\t\n])password\s{{1,4}}(?:for\s{{1,4}}\S{{1,100}}\s{{1,4}})?(?:=|to\b)?\s{{0,4}}){VALUE_OF_OPTION}", _I
        ),
        rf"\1{REMOVED}",
    ),
    # user/password@service, Oracle's way; service/host@REALM is Kerberos'
    Form(
        ("@",),
        LatePattern(
            r"(\b[A-Za-z][\w$#]{0,60})/(?![\w-]{1,63}(?:\.[\w-]{1,63}){1,9}@[A-Z0-9-]{1,63}(?:\.[A-Z0-9-]{1,63}){1,9}\b"
            r"(?![\w/]))[^\s/@\"']{1,200}@(?=[\w/\[(.-])"
        ),
        rf"\1/{REMOVED}@",
    ),
    Form(
        ("name=",), LatePattern(rf"<[^<>]{{0,2000}}\bname=[\"']?{NAME}[\"']?(?=[\s/>])[^<>]{{0,2000}}(?:>|\Z)", _I), _tag, also=NAMES
    ),  # a manager's XML
    Form(("name=",), LatePattern(rf"(\bname=[\"']?{NAME}[\"']?\s{{1,4}}value=){VALUE}", _I), rf"\1{REMOVED}", also=NAMES),
    Form(
        ("name=",),
        LatePattern(rf"(\bvalue=)(?:\"[^\"\n]{{0,4000}}\"|'[^'\n]{{0,4000}}')(\s{{1,4}}name=[\"']?{NAME})", _I),
        rf"\1{REMOVED}\2",
        also=NAMES,
    ),
    Form(
        NAMES,
        LatePattern(
            rf"(<(?:[\w-]{{1,40}}:)?{NAME}(?<!_file)(?<!_env)(?:\s[^<>]{{0,400}})?(?<!/)>\s{{0,200}}(?:<"
            rf"(?:value|plain_?text|text|content|string)>)?){_IN_XML}",
            _I | re.DOTALL,
        ),
        rf"\1{REMOVED}",
        also=("<",),
    ),
    Form(  # <name>password</name><value>…</value>, <key>password</key><string>…</string>
        NAMES,
        LatePattern(
            rf"(<(?:[\w-]{{1,40}}:)?(?:{_OF_NAME}|[\w-]{{1,20}}-name)>\s{{0,40}}{_WHOLE_NAME}\s{{0,40}}</[^<>]{{1,80}}>\s{{0,200}}"
            rf"<(?:[\w-]{{1,40}}:)?(?:[\w-]{{0,20}}value|string|data|content)(?:\s[^<>]{{0,200}})?(?<!/)>){_IN_XML}",
            _I | re.DOTALL,
        ),
        rf"\1{REMOVED}",
        also=("<",),
    ),
    Form(  # <entry key="password">…</entry>
        NAMES,
        LatePattern(
            rf"(<\w[^<>]{{0,400}}?\s(?:name|key|id)=[\"']{_WHOLE_NAME}[\"'][^<>]{{0,400}}(?<!/)>\s{{0,200}}(?:<value>)?){_IN_XML}",
            _I | re.DOTALL,
        ),
        rf"\1{REMOVED}",
        also=("<",),
    ),
    # {"value": …, "name": "password"}; where the name comes first, `assignments` reads the value
    Form(
        ("value",),
        LatePattern(
            rf"(value{_Q}?{_SIGN}){_WORD_OR_QUOTED}"
            rf"([ \t]{{0,4}}[,;]?(?:(?!value{_Q}?\s{{0,4}}[:=]|\n[ \t]{{0,40}}-)[^{{}}\[\]]){{0,200}}?"
            rf"(?<![\w.-]){_OF_NAME}{_Q}?{_SIGN}{_Q}?{_WHOLE_NAME}(?![\w./-]))",
            _I,
        ),
        rf"\1{REMOVED}\2",
        also=NAMES,
    ),
    # ["password", "…"], define('DB_PASSWORD', '…')
    Form(
        NAMES,
        LatePattern(
            rf"([\[(][ \n]{{0,40}}(?P<q>{_Q}){_WHOLE_NAME}(?P=q)\s{{0,4}},\s{{0,40}})(?P=q)(?:(?!(?P=q))[^\n]){{1,1000}}(?:"
            rf"(?P=q)(?=\s{{0,40}}[\])])|\Z)",
            _I,
        ),
        rf"\1{REMOVED}",
        also=('["', "['", "[\\", "[ ", "[\n", '("', "('", "(\\", "( ", "(\n"),
    ),
    # a table of two columns, the registry's and what PostgreSQL shows of one row
    Form(
        ("|", "reg_"),
        LatePattern(
            rf"(^[ \t]{{0,40}}(?:\|[ \t]{{0,4}})?{_WHOLE_NAME}[ \t]{{1,80}}"
            rf"(?:\||REG_\w{{1,20}})[ \t]{{1,40}})[^\s|][^|\n]{{0,1000}}?(?=[ \t\r]{{0,40}}\|?[ \t\r]{{0,4}}$)",
            _I | re.MULTILINE,
        ),
        rf"\1{REMOVED}",
        also=NAMES,
    ),
    # pgpass: host:port:database:user:password; addresses of NICs and of IPv6 look like it
    Form(
        (":",),
        LatePattern(
            r"(^[ \t]{0,8}(?!(?>[0-9a-fA-F:]{1,100})(?![\w.*-]))[\w.*/-]{1,200}:"
            r"(?:\d{3,5}|\*):[\w.*-]{1,100}:[A-Za-z_*][\w.@*-]{0,100}:)[^\s:]{1,1000}(?=[ \t\r]{0,4}$)",
            re.MULTILINE,
        ),
        rf"\1{REMOVED}",
    ),
)
