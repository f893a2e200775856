"""Strategy `replace`: a table built beside and put in the old one's place, with everything that belongs to it."""

# ruff: noqa: E501, F401, F811
from __future__ import annotations

import threading
from collections import Counter
from pathlib import Path

import psycopg
import pytest

from etl_jobs.swap import _CARRY as CARRY
from tests.support.jobs import Shop, holding, query, start_job, wait_for
from tests.support.servers import database, warehouse

GOODS = {"id": "integer", "name": "text", "price": "numeric(8,2)", "boss": "integer"}
SETTINGS = 'key = ["id"]\nstrategy = "replace"'
HEAD = "id,name,price,boss\n"
DRESSED = """
CREATE TABLE shop.makers (id integer PRIMARY KEY);
INSERT INTO shop.makers VALUES (1);
ALTER TABLE shop.goods ADD CONSTRAINT "Fair price" CHECK (price > 0),
    ADD CONSTRAINT made FOREIGN KEY (boss) REFERENCES shop.makers (id),
    ADD CONSTRAINT itself FOREIGN KEY (boss) REFERENCES shop.goods (id) DEFERRABLE,
    ADD CONSTRAINT named UNIQUE (name, id),
    ADD CONSTRAINT apart EXCLUDE USING btree (price WITH =),
    ALTER name SET NOT NULL, ALTER price SET DEFAULT 7.5, ALTER name SET STORAGE EXTERNAL,
    ALTER name SET STATISTICS 77, ALTER boss SET (n_distinct = 3), ALTER name SET COMPRESSION pglz,
    SET (fillfactor = 80, toast.autovacuum_enabled = false);
CREATE INDEX "Dear ones" ON shop.goods USING btree (lower(name), price DESC) INCLUDE (boss) WHERE price > 1;
CREATE UNIQUE INDEX cluster_me ON shop.goods (id, price);
ALTER TABLE shop.goods CLUSTER ON cluster_me, REPLICA IDENTITY FULL;
ALTER TABLE shop.goods FORCE ROW LEVEL SECURITY;
ALTER INDEX shop."Dear ones" ALTER COLUMN 1 SET STATISTICS 55;
ALTER INDEX shop."Dear ones" SET TABLESPACE "Far";
ALTER INDEX shop.goods_pkey SET TABLESPACE "Far"; ALTER INDEX shop.goods_pkey SET (fillfactor = 70, deduplicate_items = off);
ALTER TABLE shop.goods ADD CONSTRAINT late UNIQUE (id, boss) WITH (fillfactor = 60) DEFERRABLE INITIALLY DEFERRED;
ALTER INDEX shop.apart SET (fillfactor = 50); ALTER INDEX shop.apart SET TABLESPACE "Far";
CREATE STATISTICS shop.related (dependencies) ON id, price FROM shop.goods;
ALTER STATISTICS shop.related SET STATISTICS 44;
COMMENT ON STATISTICS shop.related IS 'S'; COMMENT ON TABLE shop.goods IS 'It''s ours';
COMMENT ON COLUMN shop.goods.price IS 'in €'; COMMENT ON INDEX shop."Dear ones" IS 'I';
COMMENT ON CONSTRAINT "Fair price" ON shop.goods IS 'C';
DO $$ BEGIN IF to_regrole('"Reporting"') IS NULL THEN CREATE ROLE "Reporting"; END IF; END $$;
GRANT SELECT ON shop.goods TO PUBLIC; GRANT SELECT, INSERT ON shop.goods TO "Reporting" WITH GRANT OPTION;
GRANT UPDATE (price) ON shop.goods TO "Reporting";
ALTER TABLE shop.goods OWNER TO "Reporting"; REVOKE DELETE ON shop.goods FROM "Reporting";
"""
DESCRIBED = """
SELECT array_agg(line ORDER BY line) FROM (
    SELECT pg_get_indexdef(indexrelid) || coalesce(obj_description(indexrelid, 'pg_class'), '') || indisclustered
        FROM pg_index WHERE indrelid = 'shop.goods'::regclass
    UNION ALL SELECT concat(contype, conname) || pg_get_constraintdef(oid) || coalesce(obj_description(oid, 'pg_constraint'), '')
        FROM pg_constraint WHERE conrelid = 'shop.goods'::regclass
    UNION ALL SELECT concat_ws('|', relname, relowner::regrole, array(SELECT unnest(relacl)::text ORDER BY 1), reloptions,
        relreplident, relpersistence, reltablespace, relforcerowsecurity, obj_description(oid, 'pg_class')) FROM pg_class WHERE oid = 'shop.goods'::regclass
    UNION ALL SELECT concat_ws('|', t.reloptions) FROM pg_class c JOIN pg_class t ON t.oid = c.reltoastrelid
        WHERE c.oid = 'shop.goods'::regclass
    UNION ALL SELECT concat_ws('|', attname, attnum, format_type(atttypid, atttypmod), attnotnull, attstorage, attcompression,
        attstattarget, attacl, array(SELECT unnest(attoptions) EXCEPT SELECT 'pg_attver=' || option_value
            FROM pg_options_to_table(attoptions) WHERE option_name = 'pg_attver' ORDER BY 1), attcollation, col_description(attrelid, attnum),
        (SELECT pg_get_expr(adbin, adrelid) FROM pg_attrdef WHERE adrelid = attrelid AND adnum = attnum))
        FROM pg_attribute WHERE attrelid = 'shop.goods'::regclass AND attnum > 0
    UNION ALL SELECT concat_ws('|', relname, reltablespace, reloptions) FROM pg_index
        JOIN pg_class x ON x.oid = indexrelid WHERE indrelid = 'shop.goods'::regclass
    UNION ALL SELECT concat_ws('|', indexrelid::regclass, attnum, attstattarget) FROM pg_index
        JOIN pg_attribute ON attrelid = indexrelid WHERE indrelid = 'shop.goods'::regclass
    UNION ALL SELECT pg_get_statisticsobjdef(oid) || stxstattarget || obj_description(oid, 'pg_statistic_ext') FROM pg_statistic_ext
) AS lines (line)
"""

VIEWED = """
DO $$ BEGIN IF to_regrole('"Reporting"') IS NULL THEN CREATE ROLE "Reporting"; END IF; END $$;
CREATE SCHEMA reports; GRANT CREATE ON SCHEMA reports TO "Reporting";
CREATE TABLE public.makers (id integer, name text); INSERT INTO public.makers VALUES (1, 'Ann');
SET search_path = public, shop;
CREATE VIEW reports."Dear ones" (id, "the name", price, short, upper) WITH (security_barrier, security_invoker = true) AS
    SELECT id, name, price, name::varchar(3), upper(name) COLLATE "C" FROM goods WHERE price > 1 WITH LOCAL CHECK OPTION;
CREATE VIEW shop.totals AS SELECT name, price, count(*) AS n FROM goods GROUP BY id;
CREATE VIEW shop.made AS SELECT d.*, m.name AS maker, t.n FROM reports."Dear ones" d
    JOIN goods USING (id) LEFT JOIN makers m ON m.id = boss CROSS JOIN totals t WHERE t.name = d."the name";
CREATE VIEW shop.bare AS SELECT FROM goods;
CREATE RECURSIVE VIEW shop.bosses (id, up) AS SELECT id, 0 FROM goods WHERE boss IS NULL
    UNION ALL SELECT g.id, up + 1 FROM goods g JOIN bosses b ON g.boss = b.id;
CREATE TABLE shop.said (what text);
CREATE RULE noted AS ON UPDATE TO shop.made DO INSTEAD
    UPDATE goods SET name = new."the name" WHERE goods.id = old.id;
CREATE RULE also AS ON DELETE TO shop.made WHERE old.n > 1 DO ALSO INSERT INTO said SELECT name FROM goods;
COMMENT ON RULE noted ON shop.made IS 'R';
CREATE FUNCTION shop.heard() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO shop.said VALUES (new.name); RETURN new; END';
CREATE TRIGGER heard INSTEAD OF INSERT ON shop.totals FOR EACH ROW EXECUTE FUNCTION shop.heard();
CREATE FUNCTION shop.of(shop.totals) RETURNS bigint LANGUAGE sql AS 'SELECT $1.n';
CREATE MATERIALIZED VIEW shop.kept AS SELECT * FROM shop.totals;
ALTER VIEW reports."Dear ones" ALTER COLUMN "the name" SET DEFAULT 'new';
COMMENT ON VIEW reports."Dear ones" IS 'V'; COMMENT ON COLUMN reports."Dear ones".price IS 'in €';
GRANT SELECT ON reports."Dear ones" TO PUBLIC; GRANT UPDATE (price) ON reports."Dear ones" TO "Reporting" WITH GRANT OPTION;
ALTER VIEW reports."Dear ones" OWNER TO "Reporting"; REVOKE INSERT ON reports."Dear ones" FROM "Reporting";
"""
VIEWS = """
SELECT array_agg(line ORDER BY line) FROM (
    SELECT concat_ws('|', c.oid, relname, relkind, relowner::regrole, relacl, reloptions, reltype, obj_description(c.oid, 'pg_class'),
        pg_get_viewdef(c.oid)) FROM pg_class c WHERE relkind IN ('v', 'm') AND relnamespace IN ('shop'::regnamespace, 'reports'::regnamespace)
    UNION ALL SELECT concat_ws('|', a.*, col_description(attrelid, attnum),
        (SELECT pg_get_expr(adbin, adrelid) FROM pg_attrdef WHERE adrelid = attrelid AND adnum = attnum))
        FROM pg_attribute a WHERE attrelid IN ('reports."Dear ones"'::regclass, 'shop.totals'::regclass, 'shop.made'::regclass)
    UNION ALL SELECT concat_ws('|', tgrelid::regclass, tgname, tgenabled) FROM pg_trigger
    UNION ALL SELECT concat_ws('|', ev_class::regclass, rulename, ev_enabled, pg_get_ruledef(oid), obj_description(oid, 'pg_rewrite'))
        FROM pg_rewrite WHERE oid > 16384
) AS lines (line)
"""


@pytest.fixture
def shop(tmp_path: Path, database: str) -> Shop:
    shop = Shop(tmp_path, database)
    shop.table("goods", GOODS, SETTINGS)
    shop.file("goods.csv", HEAD + "1,pump,10.50,1\n2,valve,2,\n")
    assert shop.load().status == 0
    return shop


def run_all(dsn: str, script: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as session:
        session.execute(script.encode())


def test_the_target_holds_the_source_and_nothing_else(shop: Shop) -> None:
    shop.file("goods.csv", "name,boss,id,price\nhose,,4,1\npump,,1,9\n")
    ended = shop.load()

    assert ended.status == 0, ended.stderr
    assert [row[:2] for row in shop.rows("goods")] == [(1, "pump"), (4, "hose")]
    assert (ended.metrics["inserted"], ended.metrics["updated"], ended.metrics["deleted"]) == (2, 0, 2)
    assert query(shop.dsn, "SELECT count(*) FROM pg_tables WHERE schemaname = 'shop_staging'") == [(0,)]
    assert shop.run("final").status == 0


def make_tablespace(dsn: str) -> None:
    """`Far`, inside the server's own folder."""
    with psycopg.connect(dsn, autocommit=True) as session:
        if not session.execute("SELECT FROM pg_tablespace WHERE spcname = 'Far'").fetchall():
            session.execute("SET allow_in_place_tablespaces = on")
            session.execute("CREATE TABLESPACE \"Far\" LOCATION ''")


@pytest.mark.parametrize("options", ["", "-c default_tablespace=Far"], ids=["usual", "made in another tablespace"])
def test_all_that_belongs_to_the_table_is_carried_over(shop: Shop, options: str) -> None:
    make_tablespace(shop.dsn)
    run_all(shop.dsn, DRESSED)
    [(before,)] = query(shop.dsn, DESCRIBED)
    [(old,)] = query(shop.dsn, "SELECT 'shop.goods'::regclass::oid")
    shop.file("goods.csv", HEAD + "1,pump,9,1\n3,seal,3,\n")
    ended = shop.load(PGOPTIONS=options)

    assert ended.status == 0, ended.stderr
    assert query(shop.dsn, "SELECT 'shop.goods'::regclass::oid") != [(old,)]
    [(after,)] = query(shop.dsn, DESCRIBED)
    assert set(after) ^ set(before) == set()
    assert [row[0] for row in shop.rows("goods")] == [1, 3]


def test_what_a_load_makes_beside_the_table_goes_where_the_role_wants_it(shop: Shop) -> None:
    make_tablespace(shop.dsn)
    shop.redeclare(0, SETTINGS, SETTINGS + "\nrejects = { limit = 5 }")
    shop.file("goods.csv", HEAD + "1,pump,9,1\n3,seal,none,\n")
    ended = shop.load(PGOPTIONS="-c default_tablespace=Far")

    assert ended.status == 0, ended.stderr
    far = query(
        shop.dsn,
        "SELECT relname FROM pg_class c JOIN pg_tablespace s ON s.oid = reltablespace WHERE relname ~ '^goods' ORDER BY 1",
    )
    assert far == [("goods__rejects",)]


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("CREATE VIEW shop.dear AS SELECT goods AS good FROM shop.goods", "column good of view shop.dear"),
        ("CREATE FUNCTION shop.f() RETURNS bigint BEGIN ATOMIC SELECT count(*) FROM shop.goods; END", "function shop.f()"),
        ("CREATE MATERIALIZED VIEW shop.dear AS SELECT id FROM shop.goods", "materialized view shop.dear"),
        ("CREATE TABLE shop.parts (good integer CONSTRAINT of_good REFERENCES shop.goods (id))",
         "constraint of_good on table shop.parts"),
        ("CREATE FUNCTION shop.f(shop.goods) RETURNS integer LANGUAGE sql AS 'SELECT 1'", "function shop.f(shop.goods)"),
        ("CREATE TABLE shop.boxes (good shop.goods[])", "column good of table shop.boxes"),
        ("CREATE TRIGGER t BEFORE DELETE ON shop.goods FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()",
         "trigger t on table shop.goods"),
        ("CREATE POLICY mine ON shop.goods USING (true)", "policy mine on table shop.goods"),
        ("ALTER TABLE shop.goods ENABLE ROW LEVEL SECURITY", "row security of shop.goods"),
        ("CREATE SEQUENCE shop.numbers OWNED BY shop.goods.id", "sequence shop.numbers"),
        ("CREATE TABLE shop.more () INHERITS (shop.goods)", "table shop.more"),
        ("CREATE PUBLICATION p FOR TABLE shop.goods", "publication of table shop.goods in publication p"),
        ("CREATE RULE r AS ON DELETE TO shop.goods DO INSTEAD NOTHING", "rule r on table shop.goods"),
        ("ALTER TABLE shop.goods DROP name, ADD name text GENERATED ALWAYS AS (id::text) STORED",
         "generated column name of shop.goods"),
        ("ALTER TABLE shop.goods ALTER id ADD GENERATED ALWAYS AS IDENTITY", "sequence shop.goods_id_seq"),
    ],
)  # fmt: skip
def test_what_cannot_be_carried_is_refused_by_name(shop: Shop, statement: str, named: str) -> None:
    run_all(shop.dsn, statement)
    before = shop.rows("goods")
    shop.file("goods.csv", HEAD + "9,hose,1,\n3,x,1,\n")
    ended = shop.load()

    assert ended.status == 78, ended.stderr
    assert f"these depend on it: {named}\n" in ended.stderr
    assert shop.rows("goods") == before


def test_views_stay_what_they_are_and_show_the_new_rows(shop: Shop) -> None:
    run_all(shop.dsn, VIEWED)
    [(before,)] = query(shop.dsn, VIEWS)
    shop.file("goods.csv", HEAD + "1,pump,9,\n3,seal,3,1\n4,nut,1,\n")
    ended = shop.load()

    assert ended.status == 0, ended.stderr
    assert query(shop.dsn, VIEWS) == [(before,)]
    made = query(shop.dsn, 'SELECT id, "the name", maker, n FROM shop.made ORDER BY 1')
    assert made == [(1, "pump", None, 1), (3, "seal", "Ann", 1)]
    assert query(shop.dsn, "SELECT count(*) FROM shop.bare") == [(3,)]
    assert query(shop.dsn, "SELECT * FROM shop.bosses ORDER BY 1") == [(1, 0), (3, 1), (4, 0)]
    query(shop.dsn, "UPDATE shop.made SET \"the name\" = 'cog' WHERE id = 3")
    query(shop.dsn, "INSERT INTO shop.totals VALUES ('heard', 1, 1)")
    assert query(shop.dsn, "SELECT name FROM shop.goods WHERE id = 3") == [("cog",)]
    assert query(shop.dsn, "SELECT * FROM shop.said") == [("heard",)]
    assert query(shop.dsn, "SELECT name FROM shop.kept ORDER BY 1") == [("pump",), ("valve",)]
    assert shop.load().status == 0
    assert query(shop.dsn, VIEWS) == [(before,)]


def test_a_view_we_may_not_change_is_refused_with_the_reason(shop: Shop) -> None:
    run_all(
        shop.dsn,
        "DO $$ BEGIN IF to_regrole('swapper') IS NULL THEN CREATE ROLE swapper; END IF; END $$;"
        "ALTER SCHEMA shop OWNER TO swapper; ALTER SCHEMA shop_staging OWNER TO swapper; ALTER SCHEMA etl OWNER TO swapper;"
        "ALTER TABLE shop.goods OWNER TO swapper; GRANT ALL ON ALL TABLES IN SCHEMA etl TO swapper; CREATE SCHEMA reports;"
        "GRANT ALL ON ALL SEQUENCES IN SCHEMA etl TO swapper;"
        "CREATE VIEW reports.dear AS SELECT * FROM shop.goods",
    )
    refused = shop.load(PGOPTIONS="-c role=swapper")
    run_all(shop.dsn, "ALTER VIEW reports.dear OWNER TO swapper; GRANT USAGE, CREATE ON SCHEMA reports TO swapper")
    allowed = shop.load(PGOPTIONS="-c role=swapper")

    assert refused.status == 78, refused.stderr
    belongs = "view reports.dear (it belongs to " in refused.stderr
    assert belongs and " and stands in a schema we may not change)" in refused.stderr
    assert allowed.status == 0, allowed.stderr


def test_another_sessions_temporary_view_is_refused(shop: Shop) -> None:
    with holding(shop.dsn, "CREATE TEMPORARY VIEW dear AS SELECT * FROM shop.goods") as session:
        session.commit()
        ended = shop.load()

    assert ended.status == 78
    assert "dear (it is another session's)" in ended.stderr


def test_readers_of_views_see_no_error_no_half_table_and_nothing_older_after_newer(shop: Shop) -> None:
    run_all(
        shop.dsn,
        "CREATE VIEW shop.dear AS SELECT * FROM shop.goods; CREATE VIEW shop.dearest AS SELECT d.* FROM shop.dear d"
        " JOIN shop.goods USING (id)",
    )
    over, wrong, reads = threading.Event(), [], Counter[int]()

    def poll(view: str, prepare: int | None, before: str = "") -> None:
        newest = 0
        try:
            with psycopg.connect(shop.dsn) as session:
                session.prepare_threshold = prepare
                while not over.wait(0.1 if before else 0):
                    with session.transaction():
                        session.execute(before.encode())
                        row = session.execute(
                            f"SELECT count(*), min(price)::int, max(price)::int FROM shop.{view}".encode()
                        ).fetchone()
                    assert row is not None
                    rows, least, most = row
                    if rows != 500 or least != most or least < newest:
                        wrong.append((view, newest, row))
                    newest = most
                    reads[newest] += 1
        except psycopg.Error as error:
            wrong.append((view, newest, error))

    ways = [("dear", 0), ("dearest", None), ("dearest", 0, "SELECT FROM shop.goods LIMIT 1")]
    shop.file("goods.csv", HEAD + "".join(f"{n},x,1,\n" for n in range(500)))
    assert shop.load().status == 0
    readers = [threading.Thread(target=poll, args=way) for way in ways]
    for reader in readers:
        reader.start()
    try:
        for turn in range(2, 8):
            shop.file("goods.csv", HEAD + "".join(f"{n},x,{turn},\n" for n in range(500)))
            ended = shop.load()
            assert ended.status == 0, ended.stderr
    finally:
        over.set()
        for reader in readers:
            reader.join()

    assert wrong == []
    assert len(reads) > 3


@pytest.mark.parametrize("statement", ["CREATE VIEW shop.late AS SELECT 1 FROM shop.goods", "DROP VIEW shop.dear"])
def test_views_that_change_while_the_swap_waits_are_not_lost(shop: Shop, statement: str) -> None:
    run_all(shop.dsn, "CREATE VIEW shop.dear AS SELECT * FROM shop.goods")
    waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with holding(shop.dsn, "SELECT * FROM shop.goods"):
        job = start_job(shop.dsn, "table", "--id", 0, "--catalogue", shop.catalogue)
        wait_for(lambda: query(shop.dsn, waits) == [(1,)])
        query(shop.dsn, statement)
    _, stderr = job.communicate(timeout=60)

    assert job.returncode == 75, stderr
    assert 'the views on "shop"."goods" have just been changed' in stderr
    assert shop.load().status == 0


def test_readers_never_see_an_empty_or_half_table(shop: Shop) -> None:
    texts = [HEAD + "".join(f"{n},x,{size},\n" for n in range(size)) for size in (2000, 3000)]
    shop.file("goods.csv", texts[0])
    assert shop.load().status == 0
    seen: set[tuple[int, int]] = set()
    over = threading.Event()

    def poll(prepare: int | None) -> None:
        with psycopg.connect(shop.dsn, autocommit=True) as session:
            session.prepare_threshold = prepare
            while not over.is_set():
                row = session.execute("SELECT count(*), coalesce(min(price), 0)::int FROM shop.goods").fetchone()
                assert row is not None
                seen.add(row)

    readers = [threading.Thread(target=poll, args=(p,)) for p in (0, None)]
    for reader in readers:
        reader.start()
    try:
        for turn in range(6):
            shop.file("goods.csv", texts[turn % 2])
            assert shop.load().status == 0
    finally:
        over.set()
        for reader in readers:
            reader.join()

    assert seen <= {(2000, 2000), (3000, 3000)}
    assert len(seen) == 2


def test_a_snapshot_from_before_the_swap_sees_rows(shop: Shop) -> None:
    with psycopg.connect(shop.dsn) as session:
        session.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        session.execute("SELECT 1")
        assert shop.load().status == 0
        row = session.execute("SELECT count(*) FROM shop.goods").fetchone()

    assert row == (2,)


def test_a_reader_that_does_not_end_is_named_and_keeps_nobody_waiting(shop: Shop) -> None:
    with holding(shop.dsn, "SET application_name = 'a long report'") as reader:
        reader.execute("SELECT * FROM shop.goods")
        ended = shop.load(0, "--wait", "1")

    assert ended.status == 75
    assert '"shop"."goods" is being read by a long report (server pid' in ended.stderr
    assert shop.load().status == 0


def test_a_source_that_shrank_too_much_is_refused(shop: Shop) -> None:
    shop.file("goods.csv", HEAD)
    ended = shop.load()

    assert ended.status == 65
    assert "2 of 2 rows are no longer in the source" in ended.stderr
    assert len(shop.rows("goods")) == 2


def test_a_constraint_the_new_rows_break_keeps_the_old_table(shop: Shop) -> None:
    query(shop.dsn, "ALTER TABLE shop.goods ADD CHECK (price > 1)")
    shop.file("goods.csv", HEAD + "1,pump,0.50,1\n2,valve,2,\n")
    ended = shop.load()

    assert ended.status == 65
    assert "violated by some row" in ended.stderr
    assert [row[2] for row in shop.rows("goods")] == [10.5, 2]


def test_columns_without_nulls_and_checks_are_proved_by_one_look_at_the_rows(database: str) -> None:
    with psycopg.connect(database) as session:
        session.execute(
            "CREATE TABLE old (a int PRIMARY KEY, b int NOT NULL, c int NOT NULL CHECK (c > 0), CHECK (b > 1))"
        )
        session.execute("CREATE TABLE new (a int, b int, c int)")
        found = session.execute(CARRY.read_bytes(), {"target": "old", "beside": "new"}).fetchall()

    proved = [{word for word in ("NOT NULL", "CHECK") if word in statement} for _, _, statement in found]
    assert sorted(map(sorted, filter(None, proved))) in ([["CHECK", "NOT NULL"]], [["CHECK"], ["NOT NULL"]])
