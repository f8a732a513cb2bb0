"""Tables of users: they survive a restart, belong to their owner, are limited and deletable."""

from dataclasses import replace

import pytest
from stillroom.agentic_workflow.conversations import own_tables
from stillroom.agentic_workflow.conversations.own_tables import MOST_TABLES, OwnTables
from stillroom.errors import ConfigError


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "tables"


def sources(tables, owner):
    return [one.table.source for one in tables.of(owner).values()]


def test_a_table_survives_a_restart_with_the_names_of_its_columns(table, folder):
    tables = OwnTables(folder)
    name = tables.add("anna", table)
    tables.of("anna")[name].rename({"mass": ["heft"]})
    tables.save("anna", name)
    again = OwnTables(folder)
    (kept,) = again.of("anna").values()
    assert kept.table == table.renamed({"mass": ["heft"]})
    assert kept.reader.read("heft of gold").answer == ("196.97",)
    assert oct((folder / "anna").stat().st_mode)[-3:] == "700"


def test_another_owner_sees_and_deletes_nothing(table, folder):
    for tables in (OwnTables(), OwnTables(folder)):
        name = tables.add("anna", table)
        for owner in ("ben", "..", "../anna", "anna/.", ""):
            assert tables.of(owner) == {}
            with pytest.raises(ConfigError, match="no such table of yours"):
                tables.delete(owner, name)
        tables.delete("anna", name)
        assert tables.of("anna") == {}
    assert list(folder.rglob("*.json")) == []
    name = OwnTables(folder).add("..", table)
    assert list(OwnTables(folder).of("..")) == [name]
    assert not list(folder.parent.glob("*/*.json"))


def test_the_oldest_table_goes_and_a_large_one_is_refused(table, folder, monkeypatch):
    tables = OwnTables(folder)
    for number in range(MOST_TABLES + 2):
        tables.add("anna", replace(table, source=f"{number}.csv"))
    kept = [f"{number}.csv" for number in range(2, MOST_TABLES + 2)]
    assert sources(tables, "anna") == sources(OwnTables(folder), "anna") == kept
    assert len(list(folder.rglob("table.json"))) == MOST_TABLES
    monkeypatch.setattr(own_tables, "MOST_BYTES", 100)
    with pytest.raises(ConfigError, match=r"elements.csv takes .* MB; allowed are"):
        tables.add("anna", table)
    assert sources(tables, "anna") == kept


def test_what_another_process_adds_and_deletes_is_seen(table, folder):
    ours, theirs = OwnTables(folder), OwnTables(folder)
    name = theirs.add("anna", table)
    assert list(ours.of("anna")) == [name]
    theirs.delete("anna", name)
    assert ours.of("anna") == {}


def test_a_broken_file_is_left_and_the_others_are_there(table, folder, caplog):
    tables = OwnTables(folder)
    first, second = (tables.add("anna", table) for _ in range(2))
    file = folder / "anna" / first.removeprefix("table:") / "table.json"
    file.write_text("{")
    (folder / "anna" / "unfinished.tmp-1").mkdir()
    again = OwnTables(folder)
    assert list(again.of("anna")) == list(again.of("anna")) == [second]
    assert file.read_text() == "{"
    assert caplog.text.count("cannot be read") == 1
