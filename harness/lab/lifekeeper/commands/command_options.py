"""The commands' options, parsed alike by the commands and the daemon; anything not listed is refused loudly."""

from __future__ import annotations

# command: (letters without a value, letters with one, one line of usage). Facts: LKL-04, 18, 20, 22, 25, 28, 33, 45, 48.
COMMANDS: dict[str, tuple[str, str, str]] = {
    "lcdstatus": ("qeu", "rd", "lcdstatus [-d NODE] [-q] [-e] [-u] [-r ROOT-TAG]"),
    "perform_action": ("Gs", "ta", "perform_action [-G] [-s] -t TAG -a restore|remove"),
    "ins_list": ("", "dfRarti", "ins_list [-d NODE] [-fC] [-R TOP] [-a APP] [-r TYPE] [-t TAG] [-i ID]"),
    "eqv_list": ("", "dfte", "eqv_list [-d NODE] [-fC] [-t TAG] [-e SHARED]"),
    "dep_list": ("CP", "dfcpra", "dep_list [-d NODE] [-fC] [-C|-P|-c TAG|-p TAG] [-r TYPE] [-a APP]"),
    "flg_list": ("", "d", "flg_list [-d NODE]"),
    "flg_test": ("", "df", "flg_test [-d NODE] -f FLAG"),
    "flg_create": ("", "df", "flg_create [-d NODE] -f FLAG"),
    "flg_remove": ("", "df", "flg_remove [-d NODE] -f FLAG"),
    "ins_setstate": ("", "tS", "ins_setstate -t TAG -S ISP|ISU|OSU   (database only)"),
    "lk_confirmso": ("", "yn", "lk_confirmso -y|-n NODE"),
    "lkpolicy": ("", "", "lkpolicy --get-policies"),
    "lcduname": ("", "", "lcduname"),
    "lkstart": ("", "w", "lkstart [-w SECONDS]"),
    "lkstop": ("fnr", "", "lkstop [-f|-n|-r]"),
}
REQUIRED = {
    "perform_action": "ta",
    "flg_test": "f",
    "flg_create": "f",
    "flg_remove": "f",
    "ins_setstate": "tS",
}
EXCLUSIVE = {"lkstop": "fnr", "lcdstatus": "qe", "dep_list": "CPcp", "lk_confirmso": "yn"}


class Usage(Exception):
    """The options do not fit; the message says which and gives the usage."""


def parse(command: str, words: list[str]) -> dict[str, str]:
    """Options by letter; a letter without a value maps to the empty string. Raises Usage."""
    plain, valued, usage = COMMANDS[command]
    if command == "lkpolicy":
        if words != ["--get-policies"]:
            raise Usage(f"only --get-policies is modelled; usage: {usage}")
        return {}
    options: dict[str, str] = {}
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if len(word) < 2 or word[0] != "-" or word == "--":
            raise Usage(f"{word!r} is not modelled; usage: {usage}")
        letters = word[1:]
        while letters:
            letter, letters = letters[0], letters[1:]
            if letter in plain:
                options[letter] = ""
            elif letter in valued:
                if not letters and not rest:
                    raise Usage(f"option -{letter} needs a value; usage: {usage}")
                options[letter], letters = (letters or rest.pop(0)), ""
            else:
                raise Usage(f"option -{letter} is not modelled; usage: {usage}")
    missing = [letter for letter in REQUIRED.get(command, "") if letter not in options]
    if missing:
        raise Usage(f"option -{missing[0]} is missing; usage: {usage}")
    clash = [letter for letter in EXCLUSIVE.get(command, "") if letter in options]
    if len(clash) > 1 or (command == "lk_confirmso" and not clash):
        raise Usage(f"give one of {', '.join('-' + x for x in EXCLUSIVE[command])}; usage: {usage}")
    return options
