"""The shell that arms an undoing on a host, carries it out, and looks for what is left. Text only; `deadman` sends it.

It travels on standard input, because everybody on a host may read the arguments of its processes. A connection that is lost on the way
must not leave half a script to be run: everything is in functions, and the last line calls the first of them.

Only one folder counts, below /run, where nobody but root can make one: root's own, closed to everybody else, no link.

What is done and its undoing hold the same lock, so that neither begins while the other goes on; what is undone is not done any more. An
undoing that finds nothing armed forbids it, in a folder beside: the arming may be on its way yet, behind a slow log-in or sudo, and
nobody would know of what it does then.
"""

from __future__ import annotations

import shlex

from harness.hosts.root_rights import MAY_ALL, ROOT

FOLDER = "/run/lkharness"
MARK = "LKHARNESS_DEADMAN"  # in the environment of every process that we leave running on a host
MAX_RETRY_INTERVAL_S = 60  # between two tries of an undoing that fails
FORBIDDEN = f"{FOLDER}-undone"  # has a file for each token that must not be armed any more
FORBIDDEN_S = 600  # for so long; what arms after that is on its way for longer than any connection is kept
UNDO_TIMEOUT_S = 300  # for one try of an undoing, which bears being cut short: one that hangs would keep everybody from the next try
ACT_PATIENCE_S = 30  # beyond its term; what has not been done by then hangs, and would keep the host from undoing it

_OURS = r"""
ours() {
  [ -d "$base" ] && [ "$(stat -c %u:%a:%F "$base" 2>/dev/null)" = 0:700:directory ] &&
    [ -n "$(find "${base%/*}" -maxdepth 0 -user root \( ! -perm /022 -o -perm -1000 \) 2>/dev/null)" ]
}
"""

# The deadman's own text. Its working directory is the folder. It ends when the undoing was seen to have succeeded, whoever did it. An
# undoing that succeeded is never done again, though its folder could not be removed; one that cannot be written about is done all the same.
_DEADMAN = (
    r"""
export LC_ALL=C HOME="${HOME:-/root}" d=$(pwd -P)
trap '' PIPE HUP
exec </dev/null >/dev/null 2>&1
[ -s pid ] || ( echo $$ >pid )
mark=$LKHARNESS_DEADMAN
unset LKHARNESS_DEADMAN
of=$(cat name) seconds=$(cat seconds)
rest() { LKHARNESS_DEADMAN="$mark" sleep "$1"; }
tell() { logger -t lkharness -p "daemon.$1" -- "$2"; }
end_act() {
  for e in $(grep -lszxF "lk_acting=$d" /proc/[0-9]*/environ); do e=${e%/environ}; kill -KILL "${e#/proc/}"; done
  tell err "$of: what was to be done still went on after its time, and was ended"
}
once() {
  exec 9<lock || exit 0
  flock -w PATIENCE 9 || { end_act; flock 9; }
  [ -d "$d" ] || exit 0
  if [ -z "$undone" ] && [ ! -e done ]; then
    out=said; ( : >"$out" ) || out=/dev/null
    { timeout -k 5 UNDO_TIMEOUT sh ./undo && timeout -k 5 UNDO_TIMEOUT sh ./check; } >"$out" 2>&1 9<&- || exit 1
    tell notice "$of: undone by this host itself"
  fi
  ( : >done )
  rm -rf "$d"; rmdir "${d%/*}"
  [ ! -d "$d" ] || exit 20
  exit 0
}
rest "$seconds"
undone= pause=1 tries=0
while [ -d "$d" ]; do
  ( once )
  case $? in
  0) break ;;
  20) undone=yes ;;
  *)
    [ -e lock ] || break
    mv -f said failed
    tries=$((tries + 1))
    tell err "$of: could not be undone, try $tries; again in $pause s; it said: $(tail -n 1 failed | tr -cd '[:print:]' | cut -c 1-300)"
    ;;
  esac
  rest $pause
  pause=$((pause + pause / 2 + 1))
  [ $pause -le LONGEST_PAUSE ] || pause=LONGEST_PAUSE
done
exit 0
""".replace("LONGEST_PAUSE", str(MAX_RETRY_INTERVAL_S))
    .replace("PATIENCE", str(ACT_PATIENCE_S))
    .replace("UNDO_TIMEOUT", str(UNDO_TIMEOUT_S))
)

# In a session of its own, before anything is done: makes the folder, and becomes the deadman, or has systemd start it, whose units
# outlive every log-in. Its texts come in its environment, which root alone may read.
_ARMING = (
    _OURS
    + r"""
refuse() { echo "$*"; exit 1; }
write() {
  printf '%s\n' "$lk_of" >name && printf '%s\n' "$lk_seconds" >seconds && printf '%s\n' "$lk_deadman" >deadman &&
    printf 'd=%s; export d\n%s\n' "$d" "$lk_undo" >undo && printf 'd=%s; export d\n%s\n' "$d" "$lk_check" >check &&
    printf '%s\n' "$lk_act" >act && : >lock
}
by_systemd() {
  said=$(timeout 20 systemd-run --quiet --unit="lkharness-undo-${d##*/}" \
    sh -c 'cd "$1" && LKHARNESS_DEADMAN=$(cat name) exec sh ./deadman' lkharness-deadman "$d" 2>&1) || return 1
  for n in $(seq 100); do [ -s pid ] && return 0; sleep 0.1; done
  said="its unit was started, and did not begin"; return 1
}
survives() {
  kills=$(timeout 10 busctl get-property org.freedesktop.login1 /org/freedesktop/login1 \
    org.freedesktop.login1.Manager KillUserProcesses 2>&1)
  [ "$kills" != "b true" ] ||
    refuse "the end of the log-in would end it (KillUserProcesses=yes); systemd-run, which would help: ${said:-it is not installed}"
  [ ! -d /run/systemd/system ] || [ "$kills" = "b false" ] ||
    refuse "whether it would outlive the log-in is not known: systemd-run: ${said:-not installed}; KillUserProcesses: $kills"
}
arm() {
  umask 077
  trap '' PIPE HUP
  base=$lk_base d=$lk_base/$lk_token
  for n in 1 2 3; do  # the last one of another run may just have removed the folder that both lie in
    mkdir "$base" 2>/dev/null
    ours || { [ ! -e "$base" ] && [ ! -L "$base" ] && continue; refuse "$base is not a folder of root's own with mode 0700; remove it"; }
    mkdir "$d" 2>/dev/null && break
  done
  # made before it is looked for, as an undoing forbids before it looks for the folder: one of the two sees the other
  [ ! -e "$base-undone/$lk_token" ] || { rmdir "$d" "$base" 2>/dev/null; refuse "it was undone already, so it was not done"; }
  cd "$d" 2>/dev/null || refuse "$base cannot be made or written to"
  ( write ) 2>/dev/null || { rm -rf "$d"; refuse "$base cannot be written to"; }
  said=
  if [ -d /run/systemd/system ] && command -v systemd-run >/dev/null && by_systemd; then echo "armed $d"; exit 0; fi
  why=$(survives) || { rm -rf "$d"; refuse "$why"; }  # who hears of it finds nothing left
  echo $$ >pid
  echo "armed $d"
  unset lk_of lk_seconds lk_deadman lk_undo lk_check lk_act lk_arming lk_base lk_token
  exec sh ./deadman
}
arm
"""
)

# Does it, if nobody has undone it. Its processes alone bear `lk_acting`, and have not the lock: one that goes on would keep it.
_ACTING = r"""
refuse() { echo "its undoing had begun before it was done, so it was not done" >&2; exit 3; }
[ -e "$d/lock" ] || refuse
exec 8<"$d/lock"
flock 8 && [ -d "$d" ] && [ ! -e "$d/done" ] || refuse
before=$(date +%s.%N)
sh "$d/act" </dev/null 8<&- || exit $?
echo "moment $before $(date +%s.%N)"
"""

_DO = r"""
do_it() {
  [ "$(id -u)" = 0 ] || { echo "only root can arm an undoing; log in as root, or set ssh.sudo" >&2; exit 3; }
  for tool in setsid flock; do
    command -v $tool >/dev/null || { echo "$tool is not installed; install the package util-linux" >&2; exit 3; }
  done
  export lk_of lk_seconds lk_deadman lk_undo lk_check lk_act lk_arming lk_base lk_token
  { LKHARNESS_DEADMAN="$lk_of" setsid sh -c 'eval "$lk_arming"' lkharness-deadman </dev/null 2>&1 & } | {
    read -r word d || word="it said nothing" d=
    [ "$word" = armed ] || { echo "the undoing could not be armed: $word $d" >&2; exit 3; }
    export d
    unset lk_of lk_seconds lk_deadman lk_undo lk_check lk_act lk_arming lk_base lk_token
    lk_acting="$d" sh -c "$lk_doing" lkharness-do </dev/null || exit $?
  }
}
do_it
"""

# The harness sends the text again: what lies on the host is never run for it. Where nothing is armed (any more) the thing itself is looked
# at: somebody may have removed the folder, and not what was done.
_UNDOING = (
    _OURS
    + r"""
limited() { timeout -k 5 UNDO_TIMEOUT sh -c "$1" </dev/null >&2 9<&-; }
carry_out() { limited 'eval "$lk_undo"' && limited 'eval "$lk_check"'; }
forbid() {
  [ ! -e "$base-undone/$lk_token" ] || return 0
  umask 077
  mkdir "$base-undone" 2>/dev/null
  ( base="$base-undone"; ours ) || return 0
  ( : >"$base-undone/$lk_token" ) 2>/dev/null || return 0  # where nothing can be written nothing can be armed
  ( unset lk_of lk_undo lk_check lk_undoing; exec setsid sh -c 'sleep "$1"; rm -f "$2"; rmdir "${2%/*}"' lkharness-forbidden \
    FORBIDDEN_S "$base-undone/$lk_token" ) </dev/null >/dev/null 2>&1 9<&- &
}
none() {
  ( eval "$lk_check" ) </dev/null >&2 && { echo none; exit 0; }
  carry_out || exit 1
  echo undone; exit 0
}
undo_it() {
  base=$lk_base d=$lk_base/$lk_token
  export d
  [ -n "$lk_ended" ] || [ -d "$d" ] || forbid
  [ -d "$base" ] || none
  ours || { echo "$base is not a folder of root's own with mode 0700" >&2; exit 1; }
  [ -d "$d" ] || none
  exec 9<"$d/lock" || exit 1
  flock 9
  [ -d "$d" ] || none
  if [ ! -e "$d/done" ]; then
    carry_out || exit 1
    ( : >"$d/done" ) 2>/dev/null
  fi
  pid=$(cat "$d/pid")
  tr '\0' '\n' <"/proc/$pid/environ" 2>/dev/null | grep -qxF "LKHARNESS_DEADMAN=$lk_of" && kill -TERM "-$pid"
  rm -rf "$d" && { rmdir "$base" 2>/dev/null; echo undone; }
}
trap '' PIPE HUP
undo_it
""".replace("FORBIDDEN_S", str(FORBIDDEN_S)).replace("UNDO_TIMEOUT", str(UNDO_TIMEOUT_S))
)

# In a session of its own: who waits for it may give up, and what it has begun is not ended half way.
_UNDO = r"""
undo_now() {
  export lk_base lk_token lk_of lk_undo lk_check lk_undoing lk_ended
  setsid sh -c 'eval "$lk_undoing"' lkharness-undo </dev/null &
  wait $!
}
undo_now
"""

# Only what root owns counts: everybody may start a process with any environment, and name it as ours. Run after every test on every host,
# so what finds nothing starts no further program; where Pacemaker's own sockets are not, cibadmin has nobody to ask.
REMAINS = (
    _OURS
    + r"""
PATH="$PATH:/usr/sbin:/sbin"
mark=$1 base=$2
plain() { tr -cd '[:print:]' | cut -c 1-300; }
if ours; then
  for d in "$base"/*; do
    [ -d "$d" ] && [ ! -L "$d" ] || continue
    echo "folder $d of $(plain <"$d/name")$([ -f "$d/failed" ] && echo ": its undoing failed and said: $(tail -n 1 "$d/failed" | plain)")"
  done
fi 2>/dev/null
# An nft that cannot be asked where the kernel has tables says nothing; a second try, because a firewall's reload passes.
may_admin() { [ $(( 0x$(sed -n 's/^CapEff:.//p' /proc/self/status) >> 12 & 1 )) = 1 ]; }
tables=
if command -v nft >/dev/null; then
  tables=$(nft list tables 2>&1) || { sleep 0.3; tables=$(nft list tables 2>&1); } ||
    if may_admin && grep -qm 1 " nft_do_chain" /proc/kallsyms; then
      echo "perhaps an nft table of ours, which nft cannot tell: $(printf '%s\n' "$tables" | tail -n 1 | plain)"
    fi
fi
case $tables in *lkharness*) printf '%s\n' "$tables" | sed -n 's/^table \([a-z]* lkharness.*\)/nft table \1/p' ;; esac
pacemaker() { [ ! -r /proc/net/unix ] || grep -q 'cib_r[ow]' /proc/net/unix; }
command -v cibadmin >/dev/null && pacemaker && timeout 5 cibadmin -Q 2>/dev/null |
  sed -n 's/.* id="\(lkharness-[A-Za-z0-9_.-]*\)".*/\1 in the cluster'"'"'s configuration (CIB)/p' | head -n 1
files=$(
while read -r _ place type _; do
  case $type in (nfs*|cifs*|smb*|fuse*|autofs*|ceph*|gluster*|9p*|afs*|proc*|sysfs*|cgroup*) continue ;; esac
  case $place in (*\\*) place=$(printf %b "$(printf %s "$place" | sed 's/\\\([0-7][0-7][0-7]\)/\\0\1/g')") ;; esac
  for file in "${place%/}"/.lkharness-*; do
    [ -f "$file" ] && [ ! -L "$file" ] && [ "$(stat -c %u "$file")" = 0 ] && printf 'file %s\n' "$file"
  done
done </proc/mounts 2>/dev/null
)
[ -z "$files" ] || printf '%s\n' "$files" | sort -u | tr -cd '[:print:]\n'
for e in $(grep -lsz "^$mark=" /proc/[0-9]*/environ); do
  p=${e%/environ}
  grep -q '^Uid:.0.0.0.0$' "$p/status" 2>/dev/null || continue
  of=$(tr '\0' '\n' <"$e" 2>/dev/null | sed -n "s/^$mark=//p" | head -n 1 | plain)
  [ -n "$of" ] && echo "process ${p#/proc/} ($(plain <"$p/comm" 2>/dev/null)) of $of"
done
exit 0
"""
)

# As root where that may be; else what an account that may look is told. Arguments: the mark, the folder, the text above.
REMAINS_BY_ROOT = rf"""
if {MAY_ALL}; then exec {ROOT} sh -c "$3" lkharness-remains "$1" "$2"; fi
if [ -d "$2" ] && [ "$(stat -c %u "$2")" = 0 ]; then echo "folder $2, of which only root is told what is in it"; fi
PATH="$PATH:/usr/sbin:/sbin"
tables=$({ROOT} nft list ruleset 2>/dev/null)
printf '%s\n' "$tables" | sed -n 's/^table \([a-z]* lkharness[^ ]*\).*/nft table \1/p'
command -v cibadmin >/dev/null && {ROOT} cibadmin -Q 2>/dev/null |
  sed -n "s/.* id=\"\(lkharness-[A-Za-z0-9_.-]*\)\".*/\1 in the cluster's configuration (CIB)/p" | head -n 1
exit 0
"""

# To be run with the rest on standard input.
BY_INPUT = 'eval "$(cat)"'


def arming_input(token: str, of: str, seconds: float, act: str, undo: str, check: str) -> bytes:
    """The input that arms and does. `token` names the folder and tells nobody anything, `of` is for a person."""
    texts = {"lk_deadman": _DEADMAN, "lk_arming": _ARMING, "lk_doing": _ACTING, "lk_act": act, "lk_seconds": f"{seconds:g}"}
    return _with_assignments({**_common_values(token, of, undo, check), **texts}, _DO)


def undoing_input(token: str, of: str, undo: str, check: str, *, ended: bool = False) -> bytes:
    """The input that undoes now. `ended`: the command that armed and did it is known to have ended, so nothing is on its way."""
    texts = {"lk_undoing": _UNDOING, "lk_ended": "yes" if ended else ""}
    return _with_assignments({**_common_values(token, of, undo, check), **texts}, _UNDO)


def _common_values(token: str, of: str, undo: str, check: str) -> dict[str, str]:
    return {"lk_base": FOLDER, "lk_token": token, "lk_of": of, "lk_undo": undo, "lk_check": check}


def _with_assignments(values: dict[str, str], script: str) -> bytes:
    return ("".join(f"{name}={shlex.quote(value)}\n" for name, value in values.items()) + script).encode()
