"""`lkharness azure rehearse`: what a first run on real Azure should verify, and where its answers go."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from harness.commands.shared_options import add, print_json
from harness.core.errors import BadUse, Unusable

if TYPE_CHECKING:
    from harness.azure.rehearsal import Question


def add_to(verbs) -> None:
    """Adds the command to the parser."""
    rehearse = add(
        verbs,
        "rehearse",
        _rehearse,
        "print what a first run on real Azure should verify, and take its answers",
        "lkharness azure rehearse --template answers.toml; …; lkharness azure rehearse --answers answers.toml",
    )
    rehearse.add_argument("--template", metavar="FILE", help="write a file to fill in, with every question and how to see its answer")
    rehearse.add_argument("--answers", metavar="FILE", help="read a filled-in file, and say what speaks against what the harness assumes")
    rehearse.add_argument("--ask", metavar="FILE", help="ask each open question here, and write the answers to this file")
    rehearse.add_argument("--force", action="store_true", help="with --template: replace a file that is there")
    rehearse.add_argument("--cluster", metavar="FILE", help="put this cluster's addresses and ports into the commands")


def _rehearse(arguments: argparse.Namespace) -> int:
    from harness.azure import rehearsal
    from harness.config import cluster_config
    from harness.core.files import path_exists

    actions = [name for name in ("template", "answers", "ask") if getattr(arguments, name)]
    if len(actions) > 1:
        raise BadUse(f"--{' and --'.join(actions)} are different things to do; give one of them")
    if arguments.answers and arguments.cluster:
        raise BadUse("--cluster is for the commands that are printed, and --answers prints none; leave one of them out")
    questions = rehearsal.questions_for(cluster_config.load(Path(arguments.cluster)) if arguments.cluster else None)
    if arguments.template:
        file = Path(arguments.template)
        if path_exists(file) and not arguments.force:
            raise BadUse(f"{file} is there already; name another file, or replace it with --force")
        _write(file, rehearsal.template(questions=questions))
        if arguments.json:
            print_json({"file": str(file), "questions": [vars(q) for q in questions]})
            return 0
        print(f"{file} is written; fill it in, then: lkharness azure rehearse --answers {file}")
    elif arguments.answers:
        answers, particulars = rehearsal.read(Path(arguments.answers))
        if arguments.json:
            print_json({"about": particulars, "answers": answers})
        else:
            print(rehearsal.summary(answers))
    elif arguments.ask:
        if arguments.json:
            raise BadUse("--ask is for a person, and --json for a program; give one of them")
        _ask_them(Path(arguments.ask), questions)
    elif arguments.json:
        print_json({"questions": [vars(q) for q in questions]})
    else:
        print(rehearsal.as_text(questions))
    return 0


def _ask_them(file: Path, questions: tuple[Question, ...]) -> None:
    """Questions that the file answers already are left alone; Ctrl-C or the end of input keeps what was said until then."""
    from harness.azure import rehearsal
    from harness.commands.init.init import EndOfInput, _ask
    from harness.core.files import path_exists

    if not sys.stdin.isatty():
        raise BadUse("there is nobody to ask; fill in a file instead: lkharness azure rehearse --template FILE")
    answers, particulars = rehearsal.read(file) if path_exists(file) else ({}, {})
    try:
        for question in questions:
            answers |= rehearsal.ask_questions(_ask, answers, (question,))
    except (EndOfInput, KeyboardInterrupt):
        print("what was said until here is kept")
    _write(file, rehearsal.template(answers, particulars, questions))
    print(rehearsal.summary(answers))


def _write(file: Path, text: str) -> None:
    from harness.core.files import write_atomically

    try:
        write_atomically(file, text)
    except OSError as error:
        raise Unusable(f"{file}: cannot be written ({error.strerror}); name a file in a folder that you may write to") from error
