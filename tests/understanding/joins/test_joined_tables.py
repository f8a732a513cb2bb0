"""Joined tables are those that SQL joins; nothing is asked that needs fewer tables."""

import sqlite3

import pytest
from project_paths import ROOT
from stillroom.data.readers.database_tables import read_database
from stillroom.tables import DatabaseTable, ForeignKey
from stillroom.understanding.joins.joined_tables import MOST_JOINS, Database, plan_columns
from stillroom.understanding.plans.language import (
    All,
    Cells,
    Count,
    Group,
    Often,
    Top,
    Total,
    Where,
)
from stillroom.understanding.plans.run_plan import PlanRunner
from stillroom.understanding.plans.run_sql import run_sql

TABLES = read_database(ROOT / "benchmarks" / "questions" / "tables" / "bike_repairs")


@pytest.fixture(scope="module")
def database():
    return Database(TABLES)


@pytest.fixture(scope="module")
def sqlite():
    connection = sqlite3.connect(":memory:")
    for table in TABLES:
        connection.execute(f"CREATE TABLE {table.name} ({', '.join(table.columns)})")
        connection.executemany(
            f"INSERT INTO {table.name} VALUES ({', '.join('?' * len(table.columns))})",
            [[record[name] for name in table.columns] for record in table.records],
        )
    return connection


@pytest.mark.parametrize("name", [table.name for table in TABLES])
def test_every_column_is_that_of_a_left_join(name, database, sqlite):
    for root, paths in database.views:
        if root != name:
            continue
        joined = database.joined(root, paths)
        assert len(joined.joined) == len(paths) <= MOST_JOINS
        for column, origin in zip(joined.columns, joined.origins, strict=True):
            sql, last, child = f"FROM {root} t0", "t0", database.tables[root]
            for depth, number in enumerate(origin.path, 1):
                key = child.foreign[number]
                sql += f" LEFT JOIN {key.table} t{depth} ON {last}.{key.columns[0]} = t{depth}.{key.referred[0]}"  # noqa: E501
                last, child = f"t{depth}", database.tables[key.table]
            parts = " || ' ' || ".join(f"{last}.{one.name}" for one in origin.columns)
            rows = sqlite.execute(f"SELECT {parts} {sql} ORDER BY t0.rowid").fetchall()
            assert [cell or "" for (cell,) in rows] == list(column.texts)


def test_names_of_columns_differ_within_all_that_can_be_joined(database):
    for name in database.tables:
        names = [column.name for column in database.whole(name).columns]
        assert len(names) == len(set(names))
        for view in database.views:
            if view[0] == name:
                assert {column.name for column in database.joined(*view).columns} <= set(names)


def test_people_say_a_record_by_its_name(database):
    labels = {c.name: c.label for c in database.whole("repairs").columns}
    assert labels["bike.model"] == "bike"
    assert labels["bike.brand.brand"] == "brand"
    assert labels["mechanic.first_name.last_name"] == "mechanic"
    assert labels["mechanic.boss.first_name.last_name"] == "boss"
    assert labels["bike.price"] == "bike price"
    assert "bike.bike_id" not in labels


def number(table, name):
    return table.numbered[name]


def test_a_plan_over_fewer_tables_is_not_asked_of_more(database):
    bikes = database.joined("bikes", ((0,),))
    brand, price = number(bikes, "brand.brand"), number(bikes, "price")
    country = number(bikes, "brand.country")
    assert not bikes.allows(Count(All()))
    assert not bikes.allows(Cells(Where(brand, "is", "velmora"), country))
    assert not bikes.allows(Total(All(), price, "sum"))
    assert bikes.allows(Count(Where(brand, "is", "velmora")))
    assert bikes.allows(Often(All(), brand))
    assert bikes.allows(Cells(Top(Where(brand, "is", "velmora"), price), 0))
    links = database.joined("bikes", ((0,), (1,)))
    owner = number(links, "customer.first_name.last_name")
    assert links.allows(Cells(Where(number(links, "brand.brand"), "is", "velmora"), owner))
    repairs = database.joined("repairs", ((0,),))
    assert not repairs.allows(Cells(Top(All(), number(repairs, "repair_id")), number(repairs, "bike.model")))  # noqa: E501  # fmt: skip


def test_plans_over_joined_tables_give_what_duckdb_gives(database, sqlite):
    bikes = database.joined("bikes", ((0,),))
    brand, price = number(bikes, "brand.brand"), number(bikes, "price")
    for plan in (Often(All(), brand), Group(All(), brand, price, "average"),
                 Count(Where(brand, "not", "kestrin")), Total(All(), price, "sum")):  # fmt: skip
        assert PlanRunner(bikes).run(plan).values == run_sql(plan, bikes)[0].values
    (best,) = sqlite.execute(
        "SELECT brand FROM bikes JOIN brands USING (brand_id) GROUP BY brand ORDER BY avg(price) DESC LIMIT 1"  # noqa: E501
    ).fetchone()
    assert PlanRunner(bikes).run(Group(All(), brand, price, "average")).values == (best,)


def test_cells_are_those_of_the_table_behind(database):
    bikes = database.joined("bikes", ((1,),))
    owner = number(bikes, "customer.first_name.last_name")
    found = bikes.cells(owner, [0, 10])
    assert found == [("customers", 0, "first_name", "Ida"), ("customers", 0, "last_name", "Lund")]


def test_columns_of_a_plan():
    assert plan_columns(Cells(Top(Where(3, "is", "x"), 2), 1)) == {1, 2, 3}
    assert plan_columns(Count(All())) == set()


def test_a_key_of_two_columns_and_one_that_leads_nowhere():
    named = ({"x": "1", "y": "1", "name": "p"}, {"x": "1", "y": "2", "name": "q"})
    naming = ({"x": "1", "y": "2"}, {"x": "9", "y": "2"}, {"x": None, "y": "2"})
    a = DatabaseTable("a", ("x", "y", "name"), named, ("x", "y"))
    b = DatabaseTable("b", ("x", "y"), naming, (), (ForeignKey(("x", "y"), "a", ("x", "y")),))
    joined = Database([a, b]).joined("b", ((0,),))
    assert joined.columns[joined.numbered["a.name"]].texts == ("q", "", "")


def test_telephone_numbers_are_neither_compared_nor_added_up():
    rows = ({"name": "Ada", "phone": "030-5512 77", "age": "31"},
            {"name": "Bo", "phone": "+55 (12) 3923-5555", "age": "40"})  # fmt: skip
    alone = Database([DatabaseTable("people", ("name", "phone", "age"), rows)]).joined("people", ())
    phone, age = number(alone, "phone"), number(alone, "age")
    assert not alone.allows(Total(All(), phone, "sum"))
    assert not alone.allows(Cells(Top(All(), phone), 0))
    assert alone.allows(Cells(Where(0, "is", "ada"), phone))
    assert alone.allows(Total(All(), age, "sum"))
