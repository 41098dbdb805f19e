"""Runs on a host of a flight recorder, behind agent_folder.py, and does one thing (`do`).

install it, and start it if `begin`; start the one that is there anew; status: tell about it; mark: have it keep what it holds; fetch: print
an incident or the journal; forget: remove incidents. Python 3.6 or newer, standard library only. The one argument is JSON: do, folders (the
recorder's places, of which it has one), plan and begin (install), text (mark), name (fetch), names (forget). PROGRAM, before this text, is
the recorder's own. Prints one JSON line; {error} when it could not be done, {missing} where no recorder is, or where one was whose time is
over and whose host was restarted without anything that would have removed it: that is done now, once no unfetched incident lies there.
"""
# ruff: noqa: F821, PTH123, SIM105, UP031

import base64
import json
import pwd
import re
import subprocess
import sys
import time
import zlib

NAME = re.compile(r"\A(incident-[0-9]{13}|journal)\Z")
START_S = 15


def write(place, name, data):
    """A file of the folder."""
    with open(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600, dir_fd=place), "wb") as file:
        file.write(data)


def content(place, name):
    """What a file of the folder holds; nothing where there is none."""
    try:
        with open(os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=place), "rb") as file:
            return file.read()
    except FileNotFoundError:
        return b""


def find(folders):
    """The recorder's folder, and its descriptor; (None, None) where there is none."""
    for folder in folders:
        try:
            return folder, opened(folder)
        except FileNotFoundError:
            pass  # it may be in the next place
    return None, None


def install(plan):
    """Makes the folder with the program in it, and starts it where that is asked for."""
    folder, place = find(plan["folders"])
    if folder is not None and not removed(folder, place):
        return {"error": "there is a recorder in %s already" % folder}
    reasons = []
    for folder in plan["folders"]:
        try:
            os.mkdir(folder, 0o700)
            break
        except OSError as error:
            reasons.append("%s: %s" % (os.path.dirname(folder), error.strerror))
    else:
        return {"error": "no folder can be written here (%s)" % "; ".join(reasons)}
    place = opened(folder)
    try:
        write(place, "program", PROGRAM)
        write(place, "plan", json.dumps(plan["plan"]).encode())
    except OSError as error:
        for name in os.listdir(place):
            os.unlink(name, dir_fd=place)
        os.rmdir(folder)
        return {"error": "%s cannot be written to: %s" % (folder, error.strerror)}
    return begin(folder) if plan["begin"] else {"folder": folder}


def begin(folder):
    """Starts the program of a folder in the background."""
    command = [sys.executable, "-I", "-S", os.path.join(folder, "program"), folder]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=START_S, check=False)
    try:
        return json.loads(done.stdout.decode())
    except ValueError:
        return {"error": "it did not start: %s" % (done.stdout.decode("utf-8", "replace").strip() or "it said nothing")[-300:]}


def lives(place):
    """Whether a recorder runs in the folder."""
    try:
        spool = os.open("spool", os.O_RDONLY | os.O_NOFOLLOW, dir_fd=place)
    except FileNotFoundError:
        return False
    try:
        return alive(spool)
    finally:
        os.close(spool)


def last_told(journal):
    """The last line of a journal that says how the recorder fares; a full disk or a power loss may have cut any line."""
    for line in reversed(journal.splitlines()):
        if line[:2] in ("m ", "e "):
            try:
                return dict(json.loads(line[2:]))
            except (ValueError, TypeError):
                pass  # an earlier one is whole
    return {}


def over(place):
    """Whether its time and that for which what it kept lies there have gone by, with nobody left to remove it: its host was restarted."""
    plan = json.loads(content(place, "plan").decode())
    return time.time() >= plan["until"] + plan["keep"] and not lives(place) and not alive(place)


def removed(folder, place):
    """Removes one that is over, unless incidents lie there that nobody has fetched; whether it is gone."""
    names = os.listdir(place)
    if not over(place) or any(name.startswith("incident-") for name in names):
        return False
    for name in names:
        os.unlink(name, dir_fd=place)
    os.rmdir(folder)
    return True


def status(folder, place):
    """What there is, and how the recorder fares."""
    names = sorted(os.listdir(place))
    plan = json.loads(content(place, "plan").decode())
    found = {}
    for name in names:
        try:
            found[name] = os.stat(name, dir_fd=place)
        except FileNotFoundError:
            pass  # the recorder has closed it, or made room, meanwhile
    incidents = [
        {
            "name": name[:22],
            "bytes": found[name].st_size,
            "begun": int(name[9:22]) / 1000,
            "ended": None if name.endswith(".part") else found[name].st_mtime,
        }
        for name in found
        if name.startswith("incident-")
    ]
    return {
        "folder": folder,
        "alive": lives(place) or (time.time() < plan["until"] and alive(place)),  # a guard replaces its worker in a moment
        "python": sys.executable,
        "user": pwd.getpwuid(os.geteuid()).pw_name,
        "root": os.environ.get("LKHARNESS_ROOT", ""),
        "wall": time.time(),
        "until": plan["until"],
        "over": over(place),
        "bytes": sum(one.st_size for one in found.values()),
        "incidents": incidents,
        "last": last_told(content(place, "journal").decode("utf-8", "replace")),
    }


def do(plan):
    """What the plan asks for."""
    if plan["do"] == "install":
        return install(plan)
    folder, place = find(plan["folders"])
    if folder is None:
        return {"missing": True}
    if removed(folder, place):
        return {"missing": True}
    if plan["do"] == "start":
        return {"error": "it runs"} if status(folder, place)["alive"] else begin(folder)
    if plan["do"] == "mark":
        if status(folder, place)["alive"]:  # a mark that nobody reads would keep nothing now, and something else later
            write(place, "mark", plan["text"].encode())
    elif plan["do"] == "fetch":
        if not NAME.match(plan["name"]):
            return {"error": "%s is none of its files" % plan["name"]}
        older = content(place, "journal.old") if plan["name"] == "journal" else b""
        return {"data": base64.b64encode(zlib.compress(older + content(place, plan["name"]), 9)).decode()}
    elif plan["do"] == "forget":
        for name in filter(NAME.match, plan["names"]):
            try:
                os.unlink(name, dir_fd=place)
            except FileNotFoundError:
                pass  # the recorder has made room meanwhile
        if removed(folder, place):
            return {"missing": True}
    return status(folder, place)


def main():
    """Does it, and prints what came of it."""
    try:
        print(json.dumps(do(json.loads(sys.argv[1]))))
    except OSError as error:
        print(json.dumps({"error": "%s" % error}))


main()
