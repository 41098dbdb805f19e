"""`lkharness init`: write a cluster file from a few answers."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from harness.commands import prompt as terminal
from harness.commands.init import init_azure, init_gate, init_pipeline
from harness.commands.parser import LateChoices
from harness.commands.shared_options import add, print_json
from harness.core.errors import BadUse, Unusable

if TYPE_CHECKING:
    from harness.config.cluster_file_writer import Answers

T = TypeVar("T")
EXAMPLE = (
    "lkharness init --client lkclient=10.20.1.20 --node lknode01=10.20.1.11,10.20.2.11 --node lknode02=10.20.1.12,10.20.2.12 "
    "--frontend 10.20.1.200 --service listener=oracle:1521:listener-1521 --user azureuser --sudo customer.toml"
)


def add_to(commands) -> None:
    """Adds the command to the parser."""
    init = add(commands, "init", _init, "write a commented cluster file; asks for what no option says", EXAMPLE)
    init.add_argument("file", nargs="?", default="cluster.toml", help="where to write it (default: cluster.toml)")
    init.add_argument("--client", metavar="NAME=ADDRESS", help="the machine that clients' connections are made from")
    init.add_argument(
        "--node", metavar="NAME=ADDRESS,SECOND", action="append", default=[], help="a node, with its addresses in Subnet#1 and #2; twice"
    )
    init.add_argument("--frontend", metavar="ADDRESS", help="the load balancer's frontend, which is the IP resource's address")
    init.add_argument(
        "--service", metavar="NAME=KIND:PORT:TAG", action="append", default=[], help="a protected service; can be given several times"
    )
    init.add_argument("--resource", metavar="TAG", help="what is switched over (default: the first service's TAG)")
    init.add_argument("--name", default="customer", help="what reports call the cluster (default: customer)")
    init.add_argument(
        "--design", choices=["nat", "floating"], default="nat", help="floating IP off (nat, the default) or on; --azure reads it"
    )
    init.add_argument(
        "--manager",
        metavar="KIND",
        choices=LateChoices(_managers),
        help="the cluster manager (default: lifekeeper, on Windows nodes of Azure lifekeeper-windows)",
    )
    init.add_argument(
        "--probe-port", type=int, default=12345, metavar="PORT", help="the health probe's port (default: 12345); --azure reads it"
    )
    init.add_argument("--ip-tag", metavar="TAG", help="the IP resource in the cluster manager (default: ip-FRONTEND)")
    init.add_argument("--user", metavar="NAME", default="root", help="who to log in as (default: root)")
    init.add_argument("--key", default="", metavar="FILE", help="a private key (default: the SSH agent)")
    init.add_argument("--known-hosts", default="", metavar="FILE", help="the hosts' keys, relative to the file that is written")
    init.add_argument("--jump", default="", metavar="NAME", help="reach the nodes through this host, such as the client")
    init.add_argument("--sudo", action="store_true", help="run commands through `sudo -n`")
    init.add_argument(
        "--gate", metavar="FILE", nargs="?", const=init_gate.DEFAULT, help="write a commented gate file instead (default: gate.toml)"
    )
    init.add_argument("--pipeline", choices=list(init_pipeline.KINDS), help="write what runs the harness every night instead")
    init_azure.add_options(init)
    init.add_argument("--force", action="store_true", help="replace a file that is there")


def _init_beside(arguments: argparse.Namespace) -> int:
    """A gate file, a pipeline, or both: neither asks anything."""
    may_write = partial(_can_be_written, force=arguments.force)
    files = []
    if arguments.gate:
        may_write(Path(arguments.gate))
        files.append(init_gate.write(Path(arguments.gate)))
    if arguments.pipeline:
        files += init_pipeline.write(arguments.pipeline, Path(), may_write)
    if arguments.json:
        print_json({"files": [str(file) for file in files]})
    else:
        print("\n".join(f"{file} is written; look through it, above all at what it names and demands" for file in files))
    return 0


def _managers() -> list[str]:
    from harness.plugins.extension_points import MANAGERS

    return MANAGERS.names()


def _init(arguments: argparse.Namespace) -> int:
    from harness.config import trust
    from harness.config.cluster_file_writer import write_text
    from harness.core import package_data
    from harness.core.files import write_atomically

    if arguments.gate or arguments.pipeline:
        return _init_beside(arguments)
    file = Path(arguments.file)
    _can_be_written(file, force=arguments.force)  # before anybody is asked, so that no answers are lost
    interactive = sys.stdin is not None and sys.stdin.isatty() and not arguments.json
    ask = _ask if interactive else None
    answers, unsure = init_azure.answers(arguments, ask) if arguments.azure or arguments.azure_from else (_answers(arguments, ask), [])
    # By this line, editors complete and check the file.
    text = f"#:schema {package_data.document('cluster.schema.json').as_uri()}\n{write_text(answers, file)}"
    try:
        write_atomically(file, text, private=True)
    except OSError as error:
        raise Unusable(f"{file}: cannot be written ({error.strerror}); name a file in a folder that you may write to") from error
    except UnicodeEncodeError:
        raise BadUse("an answer holds bytes that are no text (UTF-8), and nothing was written; give it in plain letters") from None
    trust.agree_to_own(file)
    if arguments.json:
        print_json({"file": str(file), "unsure": unsure})
        return 0
    for sentence in unsure:
        print(f"look: {sentence}")
    print(f"{file} is written; look through what is commented out in it, above all the manager's timers, then:")
    print(f"  lkharness check --cluster {file}")
    return 0


def _can_be_written(file: Path, *, force: bool) -> None:
    try:
        if file.is_dir():
            raise BadUse(f"{file} is a folder; name a file to write, such as {file / 'cluster.toml'}")
        file.lstat()
    except FileNotFoundError:
        pass
    except OSError as error:
        raise Unusable(f"{file}: cannot be written ({error.strerror}); name a file in a folder that you may write to") from error
    else:
        if not force:
            raise BadUse(f"{file} is there already; name another file, or replace it with --force")
    if not file.parent.is_dir():
        raise Unusable(f"{file}: cannot be written, because there is no folder {file.parent}; make it, or name another file")
    if not os.access(file.parent, os.W_OK | os.X_OK):
        raise Unusable(f"{file}: cannot be written, because the folder {file.parent} is not yours to write to; name another file")


def _ask(question: str) -> str:
    """Raises EndOfInput, which no asking again can mend."""
    try:
        return terminal.ask(f"{question}: ")
    except EOFError:
        print()
        raise EndOfInput("nobody answered, and nothing was written; give the options instead, see `lkharness init --help`") from None
    except UnicodeDecodeError:
        return "\ufffd"  # which is no answer to any question, so it is asked again
    except KeyboardInterrupt:
        print()
        raise


class EndOfInput(BadUse):
    """There is nobody to ask any more."""


def _answers(arguments: argparse.Namespace, ask: Callable[[str], str] | None) -> Answers:
    """From the options, and for what they leave out from a person. Raises BadUse with everything that is missing when nobody is there."""
    from harness.config.cluster_file_writer import Answers, address_of, host_of, service_of

    if len(arguments.node) > 2:
        raise BadUse(f"--node was given {len(arguments.node)} times; a cluster has two nodes")
    required = [
        ("--client", arguments.client),
        ("--node, twice", len(arguments.node) == 2),
        ("--frontend", arguments.frontend),
        ("--service", arguments.service),
    ]
    missing = [option for option, there in required if not there]
    if missing and ask is None:
        raise BadUse(f"not given: {'; '.join(missing)}; give them, or run it on a terminal and be asked (`lkharness init --help`)")

    def one(value: str | None, question: str, read: Callable[[str], T]) -> T:
        """What an option says must be right; a person may try again."""
        if value is not None or ask is None:
            return read(value or "")
        while True:
            try:
                return read(ask(question))
            except EndOfInput:
                raise
            except BadUse as error:
                print(error)

    client = one(arguments.client, "the client, NAME=ADDRESS", lambda text: host_of(text, addresses=1))
    nodes = [arguments.node[i] if i < len(arguments.node) else None for i in range(2)]
    pair = tuple(one(n, f"node {i + 1}, NAME=ADDRESS,SECOND", lambda text: host_of(text, addresses=2)) for i, n in enumerate(nodes))
    frontend = one(arguments.frontend, "the load balancer's frontend, ADDRESS", address_of)
    services = tuple(one(s, "a protected service, NAME=KIND:PORT:TAG", service_of) for s in arguments.service or [None])
    return Answers(
        name=arguments.name,
        design=arguments.design,
        client=client,
        nodes=pair,
        frontend=frontend,
        probe_port=arguments.probe_port,
        ip_tag=arguments.ip_tag or f"ip-{frontend}",
        services=services,
        manager=arguments.manager or "lifekeeper",
        resource=arguments.resource or services[0].tag,
        user=arguments.user,
        key=arguments.key,
        known_hosts=arguments.known_hosts,
        jump=arguments.jump,
        sudo=arguments.sudo,
    )
