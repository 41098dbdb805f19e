"""Taking secrets out of text. Pure.

Two nets, one behind the other: values that are known to be secret are removed wherever they stand and in the ways they are usually written
down, and whatever looks like a password, key, token or connection string is removed without being known.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

from harness.core.redaction import compressed_values
from harness.core.redaction.secret_encodings import MIN_SUBSTRING_LENGTH, head_of, pattern_of
from harness.core.redaction.secret_names import POINTS, WORDS, sensitive

GONE = "[removed]"

# Every repetition is bounded: a host's log must not be able to keep a pattern busy for ever.
_NAME = rf"[\w.-]{{0,40}}{WORDS}\w{{0,20}}"
# The closing quote is missing where somebody cut the text off: what the quote begins is the value all the same, to the end of the line.
_IN_QUOTES = r"\"(?:[^\"\\\n]|\\.){0,4000}\"?|'(?:[^'\\\n]|\\.){0,4000}'?"
_QUOTED = rf"(?:{_IN_QUOTES}|(?P<q>\\{{1,8}}[\"'])[^\n]{{0,4000}}?(?:(?P=q)|(?=\n|\Z)))"
_UNQUOTED = r"(?:[^\s;&\"'<>]|&(?!\w{1,30}=)|'(?=\w)){1,4000}"
# In a connection string a value may hold blanks; it ends at the semicolon.
_TO_SEMICOLON = r"[^;\n\"'<>]{1,200}(?=;\s{0,4}(?:[A-Za-z][\w ]{0,30}=|$|[\"']))"
_VALUE = rf"(?:{_QUOTED}|{_TO_SEMICOLON}|{_UNQUOTED})"
_VALUE_OF_OPTION = rf"(?:{_IN_QUOTES}|[^\s;|\"'<>]{{1,4000}})"
CLOSING = r"[\s\"'\],;)}]*\Z"
"""What may stand behind a line of a key where a program quotes it, as Pacemaker does: `error output [ MIIE… ]`."""
_BASE64_LINE = re.compile(rf"(?:^|[\s\"'\[({{])([A-Za-z0-9+/=]{{1,100}}){CLOSING}")
# The same in one line, where somebody joined a key's lines: several words, or with the line ends written out.
# Begun at the beginning of a word only, and never gone back into: a host's line must not be able to keep it busy.
_BASE64_WORDS = re.compile(
    r"(?<![A-Za-z0-9+/=])(?>(?:[A-Za-z0-9+/=]{32,100}(?:\s|\\{1,8}[rn]){1,4}){1,200})(?:[A-Za-z0-9+/=]{1,100}(?:\s|\\{1,8}[rn]){0,4})?\Z"
)
_END = re.compile(r"-----END [A-Z0-9 ]{0,40}PRIVATE KEY[A-Z ]{0,6}-----")
MAX_KEY_LINES = 200  # lines before an end that may be of the key
MAX_REMEMBERED, MAX_HARMLESS = 200, 10_000  # characters of a text that is remembered to hold no secret, and number of such texts


CREDENTIAL_KINDS = (
    "default", "environment", "workload-identity", "managed-identity", "cli", "powershell", "developer-cli", "client-secret",
)  # fmt: skip


def says_how(name: str, value: object) -> bool:
    """A setting that names the way to log in, not what one logs in with: `azure.credential`."""
    return name == "credential" and value in CREDENTIAL_KINDS


def _named(found: re.Match[str]) -> str:
    """NAME = VALUE; but corosync.conf's token and its kin are times, and matter, and so do our own tokens: a service's name, yes or no."""
    if re.search(r"(?<![\w.-])tokens\s*[:=]\s*\Z", found[1]) and re.fullmatch(r"[\"']?[a-z][a-z-]{0,19}[\"']?", found[2]):
        return found[0]
    if re.search(r"\btokens?\w{0,20}[\"']?\s*[:=]\s*\Z", found[1], re.IGNORECASE) and re.fullmatch(r"\d{1,6}", found[2]):
        return found[0]
    whole_name = not re.search(r"[\w.-]\Z", found.string[max(0, found.start() - 1) : found.start()])
    if whole_name and says_how(re.split(r"\W", found[1], maxsplit=1)[0], found[2].strip("\"'")):
        return found[0]
    return f"{found[1]}{GONE}"


def _tag(found: re.Match[str]) -> str:
    """The value of an XML element whose name attribute names a secret, in whatever order they stand."""
    return re.sub(r"(\bvalue=)(?:\"[^\"]{0,4000}\"|'[^']{0,4000}'|[\"'][^\n]{0,4000})", rf"\1{GONE}", found[0], flags=re.IGNORECASE)


_WORDS_OF_NAMES = ("pass", "pwd", "secret", "token", "credential", "key", "shared")

# (words of which one is in all that looks like it, in small letters: to look for these first costs a tenth; what it looks like; what stands
# there afterwards)
Instead = str | Callable[[re.Match[str]], str]
_I = re.IGNORECASE
PATTERNS: tuple[tuple[tuple[str, ...], re.Pattern[str], Instead], ...] = (
    (("private key",), re.compile(r"-----BEGIN ([A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?)-----.*?(?:-----END \1-----|\Z)", re.DOTALL), GONE),
    (
        ("private-lines: ",),
        re.compile(
            r"(\bPrivate-Lines: \d{1,4})(\s|\\{1,8}[rn]).{1,6000}?(?:((?:\n[^\n]{0,200})?\bPrivate-MAC: )[0-9a-f]{1,128}|\Z)", re.DOTALL
        ),
        lambda found: f"{found[1]}{found[2]}{GONE}{found[3] + GONE if found[3] else ''}",
    ),
    # The programs that other programs' logs quote: of sudo's, cron's and audit's lines the program, not its arguments.
    (("sudo",), re.compile(r"(\bsudo(?:\[\d{1,10}\])?: [^\n]{0,400}?\bCOMMAND=\S{1,400})[^\n]{1,8000}"), rf"\1 {GONE}"),
    (("cmd (",), re.compile(r"(\bcrond?(?:\[\d{1,10}\])?: [^\n]{0,200}?\bCMD \(\s{0,4}\S{1,400})[^\n]{1,8000}", _I), rf"\1 {GONE})"),
    (("execve",), re.compile(r"(\bEXECVE\b[^\n]{0,200}?\ba0=\S{1,400})[^\n]{1,8000}"), rf"\1 {GONE}"),
    (("proctitle=", "cmd="), re.compile(r"(\b(?:proctitle|cmd)=)(?:\"[^\"\n]{0,8000}\"?|[0-9A-F]{6,8000}\b)"), rf"\1{GONE}"),
    (("-c",), re.compile(r"(\bsu(?:\[\d{1,10}\])?: [^\n]{0,200}?\s(?:-c|--command)[ =])[^\n]{1,8000}"), rf"\1{GONE}"),
    # Programs that take a secret as an argument.
    (("sshpass",), re.compile(rf"(\bsshpass\s{{1,4}}-p\s{{0,4}}){_VALUE_OF_OPTION}"), rf"\1{GONE}"),
    (
        ("curl",),
        re.compile(rf"(\bcurl\b[^\n|;]{{0,400}}?\s(?:-\w{{0,8}}u|--user|--proxy-user)[\s=]{{0,4}}){_VALUE_OF_OPTION}"),
        rf"\1{GONE}",
    ),
    (("mysql", "mariadb"), re.compile(rf"(\b(?:mysql|mariadb)\w{{0,12}}\b[^\n|;]{{0,400}}?\s-p){_VALUE_OF_OPTION}"), rf"\1{GONE}"),
    (
        ("ipmitool", "fence_", "isql", "sqlcmd"),
        re.compile(rf"(\b(?:ipmitool|fence_\w{{1,30}}|isql|sqlcmd)\b[^\n|;]{{0,400}}?\s-[Pp]\s{{0,4}}){_VALUE_OF_OPTION}"),
        rf"\1{GONE}",
    ),
    (
        ("sqlplus", "rman", "expdp", "impdp"),
        re.compile(r"(\b(?:sqlplus|rman|expdp|impdp)\b[^\n|;]{0,200}?\s[A-Za-z][\w$#]{0,60}/)[^\s@\"'/][^\s@\"']{0,200}"),
        rf"\1{GONE}",
    ),
    (("user",), re.compile(rf"(\bnet\s{{1,4}}user\s{{1,4}}[^\s/]{{1,100}}\s{{1,4}})(?!/){_VALUE_OF_OPTION}", _I), rf"\1{GONE}"),
    (
        ("chpasswd",),
        re.compile(r"(\becho\s{1,4}[\"']?[^\s:|\"']{1,100}:)[^\n|]{1,400}?(?=[\"']?\s{0,4}\|\s{0,4}(?:sudo\s{1,4})?chpasswd\b)"),
        rf"\1{GONE}",
    ),
    (("://",), re.compile(r"(\b[a-z][a-z0-9+.-]{0,30}://[^\s/@:]{0,200}):[^\s/]{1,1000}@", _I), rf"\1:{GONE}@"),
    (("://",), re.compile(r"(\bhttps?://)[^\s/@:]{1,400}@", _I), rf"\1{GONE}@"),
    (
        ("authorization",),
        re.compile(r"(\bauthorization[\"']?\s{0,4}[:=]\s{0,4}[\"']?(?:[a-z]{1,20}\s{1,4})?)[^\s,;\"']{1,4000}", _I),
        rf"\1{GONE}",
    ),
    (("cookie",), re.compile(r"(\b(?:set-)?cookie[\"']?\s{0,4}:\s{0,4})[^\n]{1,4000}", _I), rf"\1{GONE}"),
    (("bearer",), re.compile(r"(\bbearer\s{1,4})[A-Za-z0-9._~+/=-]{8,4000}", _I), rf"\1{GONE}"),
    (("eyj",), re.compile(r"\beyJ[A-Za-z0-9_-]{8,4000}\.[A-Za-z0-9_-]{4,4000}(?:\.[A-Za-z0-9_-]{0,4000})?"), GONE),
    (
        ("$", "md5"),
        re.compile(r"\bSCRAM-SHA-256\$[^\s\"']{1,400}|\bmd5[0-9a-f]{32}\b|\$(?:1|2[aby]|5|6|7|y)\$[./A-Za-z0-9$=,]{8,400}"),
        GONE,
    ),
    (
        ("akia", "asia", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "xox"),
        re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b|\bgh[pousr]_[A-Za-z0-9]{20,400}|\bxox[abprs]-[A-Za-z0-9-]{10,400}"),
        GONE,
    ),
    (("hvs.", "hvb.", "hvr."), re.compile(r"\bhv[sbr]\.[A-Za-z0-9_-]{8,400}"), GONE),
    (
        ("sig=", "signature=", "code=", "access_token=", "client_secret="),
        re.compile(r"((?:[?&;]|\\{1,8}u0026|&amp;)(?:sig|signature|code|access_token|client_secret)=)[^\s&\"';\\]{1,1000}", _I),
        rf"\1{GONE}",
    ),
    (("identified",), re.compile(rf"(\bidentified\s{{1,4}}by\s{{1,4}}(?:values\s{{1,4}})?){_VALUE}", _I), rf"\1{GONE}"),
    (("password",), re.compile(r"(\bpassword\s{1,4})(?:[EN]|U&)?'(?:[^'\n]|''){0,1000}'?", _I), rf"\1{GONE}"),
    (
        ("password",),
        re.compile(rf"(\bset\s{{1,4}}password\s{{1,4}}(?:for\s{{1,4}}\S{{1,100}}\s{{1,4}})?(?:=|to\b)?\s{{0,4}}){_VALUE_OF_OPTION}", _I),
        rf"\1{GONE}",
    ),
    # user/password@service, Oracle's way
    (("@",), re.compile(r"(\b[A-Za-z][\w$#]{0,60})/[^\s/@\"']{1,200}@(?=[\w/\[(.-])"), rf"\1/{GONE}@"),
    (("name=",), re.compile(rf"<[^<>]{{0,2000}}\bname=[\"']?{_NAME}[\"']?(?=[\s/>])[^<>]{{0,2000}}(?:>|\Z)", _I), _tag),  # a manager's XML
    (("name=",), re.compile(rf"(\bname=[\"']?{_NAME}[\"']?\s{{1,4}}value=){_VALUE}", _I), rf"\1{GONE}"),
    (("name=",), re.compile(rf"(\bvalue=)(?:\"[^\"\n]{{0,4000}}\"|'[^'\n]{{0,4000}}')(\s{{1,4}}name=[\"']?{_NAME})", _I), rf"\1{GONE}\2"),
    (("</",), re.compile(rf"(<{_NAME}(?<!_file)(?<!_env)>)[^<]{{1,4000}}(?=</)", _I), rf"\1{GONE}"),
    (
        _WORDS_OF_NAMES,
        re.compile(
            rf"({WORDS}(?!\w{{0,20}}{POINTS}\b)\w{{0,20}}(?<!_file)(?<!_env)(?<!_command)(?<!_variable)\\{{0,8}}[\"']?\s{{0,4}}(?:=>|:=|=|:(?!//))\s{{0,4}})({_VALUE})",
            _I,
        ),
        _named,
    ),
    # A bare "pass" is a word of its own; before "=" it is a name, before ":" only where one word is all that follows.
    (
        ("pass", "pw"),
        re.compile(rf"((?<![a-z])(?:ssh|db|pg|my|root|admin)?(?:pass|pw)[\"']?\s{{0,4}}=\s{{0,4}}){_VALUE}", _I),
        rf"\1{GONE}",
    ),
    (
        ("pass", "pw"),
        re.compile(r"(^\s{0,40}[\"']?(?:\w{1,20}[_-])?(?:pass|pw)[\"']?:[ \t]{0,4})\S{1,1000}(?=[ \t]{0,4}$)", _I | re.MULTILINE),
        rf"\1{GONE}",
    ),
    (_WORDS_OF_NAMES, re.compile(rf"((?<!\S)--?{_NAME}(?<!-file)(?<!-env)(?<!-command)\s{{1,4}}){_VALUE_OF_OPTION}", _I), rf"\1{GONE}"),
)


class Redactor:
    """Removes secrets. `removed` counts what was taken out so far."""

    def __init__(self, known: Iterable[str] = ()) -> None:
        values = {part for value in known for part in _parts(value)}
        # The longest first: a secret that contains another must not leave its rest behind.
        self._values = sorted(values, key=lambda value: (-len(value), value))
        self._heads: re.Pattern[str] | None = None  # compiled when first needed: more secrets may become known before there is a text
        self._compiling = threading.Lock()
        self._harmless: set[str] = set()
        self.removed = 0

    def clean(self, text: str) -> str:
        """`text` without secrets."""
        if text in self._harmless:
            return text
        cleaned = self._cleaned(text)
        if cleaned == text and len(text) <= MAX_REMEMBERED and len(self._harmless) < MAX_HARMLESS:
            self._harmless.add(text)  # names and words of a record come again and again, and each look at one takes some forty searches
        return cleaned

    def _cleaned(self, text: str) -> str:
        text = self.clean_known(text)
        text = _without_rests_of_keys(text)
        # Of letters beyond ASCII some are the same to a pattern as one of ASCII's, and have other small ones.
        small = text.lower() if text.isascii() else None
        for words, pattern, instead in PATTERNS:
            if small is not None and not _any_in(small, words):
                continue
            before = text.count(GONE)
            text = pattern.sub(instead, text)
            self.removed += max(0, text.count(GONE) - before)
        return text

    def clean_known(self, text: str) -> str:
        """`text` without the values that are known."""
        if not self._values:
            return text
        text, packed = compressed_values.without(text, self._holds_known, GONE)
        self.removed += packed
        near = self._near(text)
        if not near:
            return text
        text, times = _all_forms(near).subn(GONE, text)
        self.removed += times
        return text

    def _holds_known(self, text: str) -> bool:
        near = self._near(text)
        return bool(near) and _all_forms(near).search(text) is not None

    def _near(self, text: str) -> tuple[str, ...]:
        """The known values that `text` may hold, the longest first: of no other is any form in it."""
        with self._compiling:  # hosts are asked at once, and it takes tens of milliseconds
            if self._heads is None:
                self._heads = re.compile("|".join(head_of(value) for value in self._values))
        if self._heads.search(text) is None:
            return ()
        return tuple(value for value in self._values if re.search(head_of(value), text))

    def clean_data(self, data: Any, name: str = "") -> Any:
        """The same for JSON-like data: every string in it, and everything of any kind whose name says that it is a secret."""
        if name and sensitive(name) and not says_how(name, data) and not isinstance(data, bool) and data not in (None, "", [], {}):
            self.removed += 1
            return GONE
        if isinstance(data, dict):
            return {self.clean(str(key)): self.clean_data(value, str(key)) for key, value in data.items()}
        if isinstance(data, list | tuple):
            return [self.clean_data(value) for value in data]
        return self.clean(data) if isinstance(data, str) else data


def _any_in(text: str, words: tuple[str, ...]) -> bool:
    for word in words:  # noqa: SIM110 - a generator would cost more than the search
        if word in text:
            return True
    return False


@lru_cache(32)
def _all_forms(values: tuple[str, ...]) -> re.Pattern[str]:
    """Every form of these values. Thousands of characters for one private key, so it is made for those alone that a text may hold."""
    return re.compile("|".join(pattern_of(value) for value in values))


def _parts(value: str) -> set[str]:
    """The value, and its lines where it has several: one of them gives a key away. Those that are short are only a frame."""
    lines = [line.strip() for line in value.splitlines()]
    return {value.strip(), *(line for line in lines if len(line) >= MIN_SUBSTRING_LENGTH and "-----" not in line)} - {""}


def _without_rests_of_keys(text: str) -> str:
    """A private key whose beginning was cut off, also behind the prefixes of a journal: from its end line backwards."""
    if "-----END" not in text:
        return text
    lines = text.split("\n")
    for end in (number for number, line in enumerate(lines) if _END.search(line)):
        at = _END.search(lines[end]).start()  # type: ignore[union-attr]
        lines[end] = _BASE64_WORDS.sub(GONE, lines[end][:at]) + lines[end][at:]
        for number in range(end - 1, max(-1, end - 1 - MAX_KEY_LINES), -1):
            found = _BASE64_LINE.search(lines[number])
            if "-----BEGIN" in lines[number] or not found or (len(found[1]) < 32 and number != end - 1):
                break
            lines[number] = lines[number][: found.start(1)] + GONE + lines[number][found.end(1) :]
    return "\n".join(lines)
