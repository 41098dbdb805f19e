"""What PowerShell prints, read: on texts of its documented shapes, and on texts that nobody expects."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from harness.core.errors import BadUse
from harness.hosts.linux.linux_parse import Route
from harness.hosts.windows import powershell, windows_parse
from harness.hosts.windows.script_protocol import read_answer
from harness.hosts.windows.windows_parse import NotReadable

values = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8),
    st.sampled_from(["Up", "Online", "10.20.1.11", "::", "Enabled", 1521, "NaN", [1], {}]),
)  # fmt: skip
FIELDS = [
    *("InterfaceAlias", "IPAddress", "PrefixLength", "Status", "AddressState", "NextHop", "Local", "Unreachable", "WeakHostSend"),
    *("LocalAddress", "LocalPort", "OwningProcess", "Process", "Name", "Action", "Ports", "Enabled", "Inbound", "StartType"),
    *("At", "Id", "Level", "ProviderName", "Message", "value", "Count"),
]
row = st.dictionaries(st.sampled_from(FIELDS), values, max_size=8)


def answer(rows: object, **more: object) -> str:
    said = {"ok": True, "error": None, "message": None, "missing": [], "warnings": [], "rows": rows}
    return json.dumps(said | more)


said = st.lists(row, max_size=3).map(answer)
texts = st.one_of(st.text(), said, row.map(answer), st.tuples(st.text(), said).map("\n".join), st.text(max_size=80).map(lambda t: "{" + t))
PARSERS = [
    getattr(windows_parse, name)
    for name in ("addresses", "listeners", "route", "weak_hosts", "firewall", "profiles", "services", "events", "about", "process_start")
]


@pytest.mark.parametrize("parse", PARSERS)
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)  # the first draw is slow on a busy machine
@given(texts)
@example("{" * 100_000)
@example(answer({"value": [{"Name": "x"}], "Count": 1}))
@example(answer([{"At": "+1e999", "ProviderName": "x", "Id": 1}]))
@example(answer([{"InterfaceAlias": "x", "IPAddress": "y", "PrefixLength": float("nan")}]))
@example(answer([{"LocalAddress": "::", "LocalPort": float("inf")}]))
def test_no_text_makes_a_parser_raise_anything_but_a_sentence(parse, text):
    try:
        parse(read_answer(text).rows)
    except NotReadable as error:
        assert str(error)


def test_an_answer_is_found_behind_noise_and_in_the_forms_of_a_list():
    one = ({"Name": "x"},)
    assert read_answer("\ufeffWillkommen\r\n[1] Hinweis\r\n" + answer([{"Name": "x"}]) + "\r\nauf Wiedersehen\r\n").rows == one
    assert read_answer(answer({"Name": "x"})).rows == one
    assert read_answer(answer({"value": [{"Name": "x"}], "Count": 1})).rows == one
    assert read_answer(answer([{"Ports": {"value": ["1"], "Count": 1}}])).rows == ({"Ports": ["1"]},)
    assert read_answer(answer([])).rows == ()
    with pytest.raises(NotReadable, match="it said: Zugriff verweigert"):
        read_answer("etwas\nZugriff verweigert\n")


def test_a_row_that_lacks_what_it_is_about_is_no_answer():
    with pytest.raises(NotReadable, match="LocalPort"):
        windows_parse.listeners([{"LocalAddress": "0.0.0.0"}])


def test_nothing_is_made_of_a_null():
    """A cmdlet may leave out what another Windows tells: that is no text "None"."""
    (service,) = windows_parse.services([{"Name": "x", "Status": None}])
    assert (service.state, service.running) == ("", False)
    (event,) = windows_parse.events([{"At": "2026-11-20T10:00:00Z", "Id": 1, "ProviderName": None}])
    assert event.source == ""
    for row in ({"InterfaceAlias": None, "IPAddress": "10.1.1.1"}, {"InterfaceAlias": "x", "IPAddress": None}):
        with pytest.raises(NotReadable, match="which is None"):
            windows_parse.addresses([{**row, "PrefixLength": 24}])


def test_a_route_without_interface_and_source_is_no_answer():
    with pytest.raises(NotReadable, match="neither"):
        windows_parse.route([{}])
    assert windows_parse.route([{"Unreachable": True}]) == Route("unreachable")


def test_a_moment_has_seven_places_and_a_zone():
    assert windows_parse.process_start([{"StartedAt": "2026-11-20T10:11:12.3450000Z"}]) == 1795169472.345
    with pytest.raises(NotReadable, match="names no zone"):
        windows_parse.process_start([{"StartedAt": "2026-11-20T10:11:12"}])


def test_no_moment_stands_in_for_a_boot_s_identity():
    """WHST-97: the moment moves by seconds when the clock is set."""

    def boot(**row: object) -> str:
        return windows_parse.about([{"Name": "n", "Version": "5.1", **row}]).boot

    assert boot(BootId="boot 7", BootedAt="2026-11-20T10:11:12Z") == "boot 7"
    assert boot(BootedAt="2026-11-20T10:11:12.1Z") == "", "a moment is no identity: it moves when the clock is set"


def test_cli_xml_becomes_text():
    said = (
        'warm up\r\n#< CLIXML\r\n<Objs Version="1.1.0.1"><Obj S="progress" RefId="0"><AV>Preparing</AV></Obj>'
        '<S S="Error">\x1b[91ma &lt;b&gt;_x000D__x000A_</S><S S="warning">W_x00FC_</S></Objs>\r\nlast\r\n'
    )
    assert powershell.clean_errors(said) == "warm up\na <b>\nWülast\n" or powershell.clean_errors(said) == "warm up\na <b>\nWü\nlast\n"


def test_output_that_ends_amid_its_xml_loses_no_error():
    assert powershell.clean_errors('#< CLIXML\n<Objs><S S="Error">half</S><Obj>') == "half"


@given(
    st.text()
    | st.lists(st.sampled_from(["#< CLIXML\n", "<Objs>", "</Objs>", '<S S="Error">', "</S>", "_xD800_", "_xDC00_", "&#xD800;", "x"])).map(
        "".join
    )
)
def test_any_stderr_is_cleaned_and_can_be_printed(text):
    powershell.clean_errors(text).encode("utf-8", "surrogatepass" if any("\ud800" <= c <= "\udfff" for c in text) else "strict")


@given(st.text(st.characters(blacklist_characters='"', blacklist_categories=["Cs"])))
def test_a_quoted_word_has_no_way_out(word):
    """Every quote inside, the curly ones that PowerShell takes for quotes included, is doubled."""
    quoted = powershell.quoted(word)
    for quote in "'\u2018\u2019\u201a\u201b":
        inner = quoted[1:-1]
        assert inner.count(quote) == 2 * word.count(quote)
    assert quoted[0] == quoted[-1] == "'"


def test_double_quotes_are_refused_in_words():
    with pytest.raises(BadUse):
        powershell.call_line(["x", '"'])
