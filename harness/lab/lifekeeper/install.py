"""Writes the commands into LKROOT/bin, and never into a directory that somebody else made."""

from __future__ import annotations

import shlex
from pathlib import Path

import harness
from harness.core.errors import BadUse, Unusable
from harness.lab.lifekeeper import STAND_IN
from harness.lab.lifekeeper.commands import command_client, command_options

MARKER = ".stand-in"
PERL = Path("/usr/bin/perl")  # essential in Debian, and what the product's own commands are written in

# Asks the daemon and prints its answer, without a module: a harness asks for the state two hundred times in one run, and Perl starts in a
# tenth of the processor time of Python. What is not the usual case (no daemon, another configuration, help, start, stop) is Python's.
CLIENT = r"""
sub by_python { exec @python, @_; die "$python[0]: $!\n" }
$ENV{LKSTANDIN_CONFIG} = $config unless defined $ENV{LKSTANDIN_CONFIG};
by_python($name, @ARGV) if $name =~ /^lkst(art|op)$/ or (@ARGV == 1 and $ARGV[0] =~ /^--(version|help)$/);
$/ = undef;
my ($file, $line);
open($file, '<', $ENV{LKSTANDIN_CONFIG}) or by_python($name, @ARGV);
by_python($name, @ARGV) if <$file> =~ /"directories"/;
(socket($line, 1, 1, 0) and connect($line, pack('Sa108', 1, "$run/control.sock"))) or by_python($name, @ARGV);
$SIG{PIPE} = 'IGNORE';
my $request = join("\0", $name, @ARGV);
my $sent = 0;
while ($sent < length $request) {
  my $more = syswrite($line, $request, length($request) - $sent, $sent);
  by_python('--unanswered', $name) unless defined $more;
  $sent += $more;
}
shutdown($line, 1);
my ($exit, $out, $err, @more) = split(/\0/, (<$line> // ''), -1);
by_python('--unanswered', $name) if @more or not defined $err or $exit !~ /^\d+$/;
print $out;
print STDERR map { "$_ ($stand_in)\n" } split(/\n/, $err);
exit $exit;
"""
DEFAULT_ROOT = Path("/opt/LifeKeeper")  # LKL-01


def install(root: Path = DEFAULT_ROOT, python: str = "/usr/bin/python3", *, config: Path | None = None) -> list[Path]:
    """Write one small executable per command into `root`/bin; returns their paths.

    `python` (3.11 or newer) runs what Perl does not; `config` is used where LKSTANDIN_CONFIG is not set. Raises BadUse when `root` exists
    and is not ours (it may be the real product), Unusable when it cannot be written.
    """
    marker = root / MARKER
    if root.exists() and not marker.exists() and any(root.iterdir()):
        raise BadUse(f"{root} exists and was not made by this stand-in; it may be the real LifeKeeper: give another directory")
    try:
        (root / "bin").mkdir(parents=True, exist_ok=True)
        marker.write_text(f"{STAND_IN}\n")
        return [_write(root / "bin" / name, name, python, config) for name in command_options.COMMANDS]
    except OSError as error:
        raise Unusable(f"{root} cannot be written ({error.strerror}); give a directory that this user may write to") from error


def _write(path: Path, name: str, python: str, config: Path | None) -> Path:
    entry = Path(harness.__file__).resolve().parent / "lab/lifekeeper/commands/command_entry.py"
    words = [python, "-IS", str(entry)]  # -I and -S keep the start short and the imports ours
    path.write_text(_in_perl(name, words, config) if PERL.exists() else _in_python(name, words, config))
    path.chmod(0o755)
    return path


def _in_perl(name: str, python: list[str], config: Path | None) -> str:
    values = {"name": name, "stand_in": STAND_IN, "config": str(config or command_client.DEFAULT_CONFIG), "run": command_client.DEFAULT_RUN}
    declarations = "".join(f"my ${key} = {_quoted(value)};\n" for key, value in values.items())
    return f"#!{PERL}\n# {STAND_IN}\n{declarations}my @python = ({', '.join(map(_quoted, python))});\n{CLIENT}"


def _quoted(word: str) -> str:
    """A string of Perl's that stands for nothing but itself."""
    return "'" + word.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _in_python(name: str, python: list[str], config: Path | None) -> str:
    # By way of sh, because a #! line cannot hold long or spaced paths.
    default = f': "${{LKSTANDIN_CONFIG:={config}}}"; export LKSTANDIN_CONFIG\n' if config else ""
    return f'#!/bin/sh\n# {STAND_IN}\n{default}exec {shlex.join(python)} {name} "$@"\n'
