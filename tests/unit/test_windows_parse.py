"""What PowerShell prints, read: on texts of its documented shapes, and on texts that nobody expects."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from harness.core.errors import BadUse
from harness.hosts.linux.linux_parse import Route
from harness.hosts.windows import powershell, windows_parse
from harness.hosts.windows.windows_parse import NotReadable, rows

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
texts = st.one_of(
    st.text(), st.lists(row, max_size=3).map(json.dumps), row.map(json.dumps), st.tuples(st.text(), row.map(json.dumps)).map("\n".join)
)
PARSERS = [
    getattr(windows_parse, name)
    for name in ("addresses", "listeners", "route", "weak_hosts", "profiles", "rules", "service", "events", "number")
]


@pytest.mark.parametrize("parse", PARSERS)
@given(texts)
@example("[" * 100_000)
@example('{"value":[{"Name":"x"}],"Count":1}')
@example('[{"At":1e999,"ProviderName":"x","Id":1}]')
@example('[{"InterfaceAlias":"x","IPAddress":"y","PrefixLength":NaN}]')
@example('[{"LocalAddress":"::","LocalPort":1e999}]')
@example("9" * 5000)
def test_no_text_makes_a_parser_raise_anything_but_a_sentence(parse, text):
    try:
        parse(text)
    except NotReadable as error:
        assert str(error)


def test_rows_are_found_behind_noise_and_in_the_three_forms_of_an_array():
    one = [{"Name": "x"}]
    assert rows('\ufeffWillkommen\r\n[1] Hinweis\r\n[{"Name":"x"}]\r\n') == one
    assert rows('{"Name":"x"}') == one
    assert rows('{"value":[{"Name":"x"}],"Count":1}') == one
    assert rows("[]") == []
    with pytest.raises(NotReadable, match="it said: Zugriff verweigert"):
        rows("etwas\nZugriff verweigert\n")


def test_a_row_that_lacks_what_it_is_about_is_no_answer():
    with pytest.raises(NotReadable, match="LocalPort"):
        windows_parse.listeners('[{"LocalAddress":"0.0.0.0"}]')


def test_a_route_without_interface_and_source_is_no_answer():
    with pytest.raises(NotReadable, match="neither"):
        windows_parse.route("[{}]")
    assert windows_parse.route('[{"Unreachable":true}]') == Route("unreachable")


def test_a_number_is_read_with_a_point_only():
    assert windows_parse.number("Hinweis 1,5\n1795350000.250000\n") == 1795350000.25


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
        powershell.called(["x", '"'])
