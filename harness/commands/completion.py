"""`lkharness completion SHELL`: what a shell must be told so that it completes commands and options. The work is argcomplete's."""

from __future__ import annotations

import argparse

from harness.commands.shared_options import add, print_json

INSTALL = {
    "bash": 'eval "$(lkharness completion bash)"   in ~/.bashrc',
    "zsh": 'eval "$(lkharness completion zsh)"   in ~/.zshrc, behind compinit',
    "fish": "lkharness completion fish > ~/.config/fish/completions/lkharness.fish",
    "powershell": "lkharness completion powershell | Out-String | Invoke-Expression   in $PROFILE",
}
ENVIRONMENT = "_ARGCOMPLETE"  # set by the shell's function when it asks this program


def add_to(commands) -> None:
    """Adds the command to the parser."""
    description = "print what makes a shell complete commands and options"
    parser = add(commands, "completion", _completion, description, 'eval "$(lkharness completion bash)"')
    parser.description = f"{parser.description} To have it in every shell:\n" + "\n".join(f"  {command}" for command in INSTALL.values())
    parser.epilog = "example: lkharness completion bash >> ~/.bashrc"
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("shell", choices=list(INSTALL), help="the shell that shall complete")


def _completion(arguments: argparse.Namespace) -> int:
    import argcomplete

    script = argcomplete.shellcode(["lkharness"], shell=arguments.shell).strip()
    if arguments.json:
        print_json({"shell": arguments.shell, "script": script, "install": INSTALL[arguments.shell]})
    else:
        print(script)
    return 0


def answer(parser: argparse.ArgumentParser) -> None:
    """Tell the shell that asks, by its own channel, what may come next; ends the process."""
    import argcomplete

    argcomplete.autocomplete(parser)
