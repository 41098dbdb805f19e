"""Secrets among programs' arguments, in command lines and in lists of words as programs print them. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable

from harness.core.redaction.secret_names import SHORT_WORDS, WORDS
from harness.core.redaction.value_forms import NAME, NAMES, REMOVED, VALUE_OF_OPTION, Form, Patterns
from harness.core.text.late_pattern import LatePattern

_I = re.IGNORECASE
# Between two words: blanks, a line that goes on, the zero of /proc/PID/cmdline, or the quotes and commas of a list.
_QUOTE = r"\\{0,8}[\"']"
_BLANKS = r"(?:\\\r?\n|[\s\0]){1,40}"
_GAP = rf"(?:{_QUOTE}\s{{0,8}},?\s{{0,80}}(?=\\{{0,8}}[\"'])|{_BLANKS})"
_TO_OPTION = r"[\s\0\"',\\]{1,12}"
_NO_LIST = r"(?!\\{0,8}[\"']\s{0,4},)"  # where the option was a word of a list, and the next one is not quoted
_NO_POINTER = r"(?<![-_]file)(?<![-_]env)(?<![-_]command)(?<![-_]path)"
_VALUE = rf"(?:(?P<e>\\{{1,8}}[\"'])[^\n]{{0,4000}}?(?:(?P=e)|(?=\n|\Z))|{VALUE_OF_OPTION})"
_SETTING = rf"[\w./-]{{0,60}}(?:{WORDS}|{SHORT_WORDS})\w{{0,20}}{_NO_POINTER}"


def _with_option(programs: str, letters: str) -> tuple[LatePattern, Callable[[re.Match[str]], str]]:
    """A command of one of these programs, and what takes out the words behind these options."""
    option = LatePattern(rf"([\s\0\"'](?:{letters}){_GAP}){_VALUE}")
    return LatePattern(rf"\b(?:{programs})\b[^\n|;]{{1,2000}}"), lambda match: option.sub(rf"\1{REMOVED}", match[0])


def _without_password(match: re.Match[str]) -> str:
    """`net use`: the word that is no option, no share and no drive."""
    return match[1] + re.sub(r"(?<!\S)(?![/\\*]|[A-Za-z]:(?!\S))(?:\"[^\"\n]{0,400}\"?|\S{1,400})", REMOVED, match[2])


PATTERNS: Patterns = (
    # The programs that other programs' logs quote: of sudo's, cron's and audit's lines the program, not its arguments.
    Form(("sudo",), LatePattern(r"(\bsudo(?:\[\d{1,10}\])?: [^\n]{0,400}?\bCOMMAND=\S{1,400})[^\n]{1,8000}"), rf"\1 {REMOVED}"),
    Form(
        ("cmd (",), LatePattern(r"(\bcrond?(?:\[\d{1,10}\])?: [^\n]{0,200}?\bCMD \(\s{0,4}\S{1,400})[^\n]{1,8000}", _I), rf"\1 {REMOVED})"
    ),
    Form(("execve",), LatePattern(r"(\bEXECVE\b[^\n]{0,200}?\ba0=\S{1,400})[^\n]{1,8000}"), rf"\1 {REMOVED}"),
    Form(("proctitle=", "cmd="), LatePattern(r"(\b(?:proctitle|cmd)=)(?:\"[^\"\n]{0,8000}\"?|[0-9A-F]{6,8000}\b)"), rf"\1{REMOVED}"),
    Form(("su: ", "su["), LatePattern(r"(\bsu(?:\[\d{1,10}\])?: [^\n]{0,200}?\s(?:-c|--command)[ =])[^\n]{1,8000}"), rf"\1{REMOVED}"),
    # Programs that take a secret as an argument.
    Form(("sshpass",), LatePattern(rf"(\bsshpass{_TO_OPTION}-p{_GAP}?){_NO_LIST}{_VALUE}"), rf"\1{REMOVED}"),
    Form(
        ("curl",),
        LatePattern(rf"(\bcurl\b[^\n|;]{{0,400}}?[\s\"\'](?:-\w{{0,8}}[uU]|--user|--proxy-user)(?:{_GAP}|=)?){_NO_LIST}{_VALUE}"),
        rf"\1{REMOVED}",
    ),
    Form(
        ("mysql", "mariadb"),
        LatePattern(rf"(\b(?:mysql|mariadb)[\w-]{{0,12}}\b[^\n|;]{{0,400}}?[\s\"\']-p(?!lugin)){_NO_LIST}{VALUE_OF_OPTION}"),
        rf"\1{REMOVED}",
    ),
    Form(
        ("ipmitool", "fence_", "isql", "sqlcmd", "bcp"),
        LatePattern(rf"(\b(?:ipmitool|fence_\w{{1,30}}|isql|sqlcmd|bcp)\b[^\n|;]{{0,400}}?[\s\"\']-[Pp]{_GAP}?){_NO_LIST}{_VALUE}"),
        rf"\1{REMOVED}",
    ),
    Form(
        ("sqlplus", "rman", "expdp", "impdp"),
        LatePattern(r"(\b(?:sqlplus|rman|expdp|impdp)\b[^\n|;]{0,200}?\s[A-Za-z][\w$#]{0,60}/)[^\s@\"'/][^\s@\"']{0,200}"),
        rf"\1{REMOVED}",
    ),
    Form(
        ("net user", "net  user", "net\tuser"),
        LatePattern(rf"(\bnet(?: {{1,2}}|\t)user\s{{1,4}}[^\s/]{{1,100}}\s{{1,4}})(?!/){VALUE_OF_OPTION}", _I),
        rf"\1{REMOVED}",
    ),
    Form(
        ("chpasswd",),
        LatePattern(r"(\becho\s{1,4}[\"']?[^\s:|\"']{1,100}:)[^\n|]{1,400}?(?=[\"']?\s{0,4}\|\s{0,4}(?:sudo\s{1,4})?chpasswd\b)"),
        rf"\1{REMOVED}",
    ),
    Form(
        ("chpasswd",),
        LatePattern(
            r"(\bchpasswd\b[^\n]{0,80}<<[-~]?[ \t]{0,4}[\"']?(\w{1,40})[\"']?[^\n]{0,80}\n)(?:(?:[^\n]{0,400}\n){1,60}?"
            r"(?=[ \t]{0,40}\2\b)|(?:[^\n]{0,400}\n){0,20}[^\n]{1,400}\Z)"
        ),
        rf"\1{REMOVED}\n",
    ),
    Form(  # echo … | passwd --stdin
        ("echo", "printf"),
        LatePattern(
            r"(\b(?:echo|printf)\s{1,4}(?:-\w{1,3}\s{1,4}|[\"']?%s(?:\\n)?[\"']?\s{1,4})?)"
            r"(?:\"[^\"\n]{0,400}\"|'[^'\n]{0,400}'|[^\s|\"'$]{1,400})"
            r"(?=\s{0,4}\|\s{0,4}(?:sudo\s{1,4}-S\b|(?:sudo\s{1,4})?(?:\S{0,40}/)?"
            r"(?:passwd|smbpasswd|kinit|cryptsetup|gpg|docker|podman|helm|pcs)\b))"
        ),
        rf"\1{REMOVED}",
        also=("|",),
    ),
    Form(
        ("<<<",),
        LatePattern(rf"(\b(?:ch|smb)?(?:passwd|kinit|cryptsetup)\b[^\n|;]{{0,200}}?<<<\s{{0,4}}){VALUE_OF_OPTION}"),
        rf"\1{REMOVED}",
    ),
    Form(
        ("pcs", "az", "docker", "podman", "helm", "mongo", "psexec"),
        *_with_option(r"pcs|az\s{1,4}login|(?:docker|podman)\s{1,4}login|helm|mongo\w{0,10}|psexec(?:64)?(?:\.exe)?", "-p"),
    ),
    Form(("ldap",), *_with_option(r"ldap\w{1,20}", "-w")),
    Form(("snmp",), *_with_option(r"snmp\w{1,20}", "-[cAX]")),
    Form(("redis-cli",), *_with_option("redis-cli", "-a")),
    Form(("zip", "mosquitto_"), *_with_option(r"(?:un)?zip|mosquitto_\w{1,10}", "-P")),
    Form(("plink", "pscp", "psftp", "kadmin", "ktpass"), *_with_option(r"plink|pscp|psftp|kadmin(?:\.local)?|ktpass", r"[-/]pw|[-/]pass")),
    Form(("ssh-keygen",), *_with_option("ssh-keygen", "-[NP]")),
    Form(("useradd", "usermod"), *_with_option("useradd|usermod", "-p")),
    Form(("schtasks",), *_with_option(r"[Ss][Cc][Hh][Tt][Aa][Ss][Kk][Ss](?:\.exe)?", r"/[Rr]?[Pp]")),
    Form(
        ("-u", "--user"),
        LatePattern(
            r"(\b(?:smbclient|rpcclient|smbget|winexe|wmic|net)\b[^\n|;]{0,400}?\s"
            r"(?:-U|--user)[\s=]{0,4}[\"']?[^\s%\"']{1,100}%)[^\s\"']{1,400}"
        ),
        rf"\1{REMOVED}",
    ),
    Form(("lftp",), LatePattern(r"(\blftp\b[^\n|;]{0,400}?\s-u\s{0,4}[\"']?[^\s,\"']{1,100},)[^\s\"']{1,400}"), rf"\1{REMOVED}"),
    Form(
        ("htpasswd",),
        LatePattern(
            rf"(\bhtpasswd\s{{1,4}}"
            rf"(?:-\w{{1,8}}\s{{1,4}}){{0,4}}-?\w{{0,8}}b\w{{0,8}}\s{{1,4}}\S{{1,200}}\s{{1,4}}\S{{1,100}}\s{{1,4}}){VALUE_OF_OPTION}"
        ),
        rf"\1{REMOVED}",
    ),
    Form(
        ("rabbitmqctl",),
        LatePattern(
            rf"(\brabbitmqctl\b[^\n|;]{{0,200}}?\s"
            rf"(?:add_user|change_password|authenticate_user)\s{{1,4}}\S{{1,100}}\s{{1,4}}){VALUE_OF_OPTION}"
        ),
        rf"\1{REMOVED}",
    ),
    Form(("-pass",), LatePattern(r"(-pass(?:in|out)?\s{1,4}[\"']?pass:)[^\s\"']{1,400}"), rf"\1{REMOVED}"),  # openssl
    Form(("nmcli",), LatePattern(rf"(\bnmcli\b[^\n|;]{{0,400}}?\s(?:password|\S{{0,40}}psk)\s{{1,4}}){VALUE_OF_OPTION}"), rf"\1{REMOVED}"),
    Form(
        ("wpa_passphrase",),
        LatePattern(rf"(\bwpa_passphrase\s{{1,4}}(?:\"[^\"\n]{{1,80}}\"|\S{{1,80}})\s{{1,4}}){VALUE_OF_OPTION}"),
        rf"\1{REMOVED}",
    ),
    # Windows
    Form(
        ("\\\\", "/user"),
        LatePattern(
            r"(\bnet1?(?:\.exe)?\s{1,4}use\s{1,4})(?=[^\n]{0,400}?(?:\\\\|/user))([^\n|;&<>\"]{1,400}"
            r"(?:\"[^\"\n]{0,400}\"[^\n|;&<>\"]{0,400}){0,4})",
            _I,
        ),
        _without_password,
    ),
    Form(
        ("/p:", "/p=", "/pass", "/pw", "/rp", "password:", "password="),
        LatePattern(rf"((?<![^\s\"'])/(?:p|pass|pw|pwd|rp|\w{{0,20}}password)[:=]\s{{0,4}}){VALUE_OF_OPTION}", _I),
        rf"\1{REMOVED}",
    ),
    Form(
        ("securestring",),
        LatePattern(
            rf"(\bConvertTo-SecureString(?:\s{{1,4}}-(?:AsPlainText|Force|String|Key\s{{1,4}}\S{{1,80}})){{0,4}}\s{{1,4}})"
            rf"(?![-$(]){_VALUE}",
            _I,
        ),
        rf"\1{REMOVED}",
    ),
    Form(("securestring",), LatePattern(r"(?:\"[^\"\n]{1,400}\"|'[^'\n]{1,400}')(?=\s{0,4}\|\s{0,4}ConvertTo-SecureString)", _I), REMOVED),
    Form(
        ("credential",),
        LatePattern(
            r"(\b(?:Network|PS)Credential\W{1,4}(?:new)?\(?\s{0,4}(?:\"[^\"\n]{0,200}\"|'[^'\n]{0,200}')\s{0,4},\s{0,4})"
            r"(?:\"[^\"\n]{1,400}\"?|'[^'\n]{1,400}'?)",
            _I,
        ),
        rf"\1{REMOVED}",
    ),
    # A name behind one option, its value behind another: crm_attribute, reg, PowerShell
    Form(
        ("-n ", "-n=", '-n"', "-p ", "-p=", '-p"', "-name", "--set-parameter", "/v ", "/v=", '/v"', "-key"),
        LatePattern(
            rf"((?<![^\s\"'])(?:-n|-p|--?name|--attr-name|--set-parameter|/v|-key)"
            rf"(?:[ =]{{1,4}}|(?=\"))[\"']?{_SETTING}[\"']?\s[^\n|;]{{0,200}}?"
            rf"(?:-v|--update|--?value|--attr-value|--parameter-value|/d)[\s=]{{1,4}}){VALUE_OF_OPTION}",
            _I,
        ),
        rf"\1{REMOVED}",
        also=NAMES,
    ),
    # Whatever the program is
    Form(
        NAMES,
        LatePattern(
            rf"((?:(?<=[ \t\r\n\0\"'`\[(,])--?|\A--|\A-(?=pass|pwd|secret|token|pw|psk))"
            rf"(?:{NAME}|[\w.-]{{0,40}}{SHORT_WORDS}){_NO_POINTER}"
            rf"(?:[\"']?[ \t]{{0,4}}\r?\n[ \t]{{0,40}}-[ \t]{{1,4}}|{_GAP}|[\"'][ \t]{{0,4}}(?=[\"']))){_VALUE}",
            _I,
        ),
        rf"\1{REMOVED}",
        also=(
            "--",
            " -",
            "\t-",
            "\r-",
            "\n-",
            "\0-",
            '"-',
            "'-",
            "`-",
            "[-",
            "(-",
            ",-",
            "-pass",
            "-pwd",
            "-secret",
            "-token",
            "-pw",
            "-psk",
        ),
    ),
)
