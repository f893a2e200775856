-- The statements that make the table %(beside)s what %(target)s is, in everything but its rows.
-- `late` ones only make sense once it stands in the target's place, and then name the target.
WITH names AS (
    SELECT %(target)s::regclass::oid AS target, %(beside)s::regclass::oid AS beside
), old AS (
    SELECT c.*, format('%%I.%%I', n.nspname, c.relname) AS name, %(beside)s::text AS beside
    FROM names JOIN pg_class c ON c.oid = names.target JOIN pg_namespace n ON n.oid = c.relnamespace
), columns AS (
    SELECT a.*, old.beside, old.name, format('ALTER TABLE %%s ALTER COLUMN %%I ', old.beside, a.attname) AS alter_it
    FROM old JOIN pg_attribute a ON a.attrelid = old.oid AND a.attnum > 0 AND NOT a.attisdropped
), places AS ( -- where an index is: a statement before the one that makes it there
    SELECT x.oid, format('SET LOCAL default_tablespace = %%L; ', coalesce(s.spcname, '')) AS go_there, nullif(format(' WITH (%%s)', (
            SELECT string_agg(format('%%I = %%L', option_name, option_value), ', ') FROM pg_options_to_table(x.reloptions)
        )), ' WITH ()') AS options
    FROM old JOIN pg_index i ON i.indrelid = old.oid
    JOIN pg_class x ON x.oid = i.indexrelid LEFT JOIN pg_tablespace s ON s.oid = x.reltablespace
), constraints AS (
    SELECT con.*, old.beside, old.name, places.go_there, format('ADD CONSTRAINT %%I %%s', con.conname, CASE
        WHEN contype IN ('p', 'u') AND options IS NOT NULL THEN left(definition, length(definition) - length(late)) || options || late
        ELSE definition END) AS add_it
    FROM old JOIN pg_constraint con ON con.conrelid = old.oid
    LEFT JOIN places ON places.oid = con.conindid AND con.contype IN ('p', 'u', 'x'),
    pg_get_constraintdef(con.oid) AS definition, -- with the options of an index where the constraint is an exclusion alone
    concat(CASE WHEN condeferrable THEN ' DEFERRABLE' END, CASE WHEN condeferred THEN ' INITIALLY DEFERRED' END) AS late
), indexes AS (
    SELECT i.*, places.go_there, x.relname, n.nspname, old.beside, pg_get_indexdef(i.indexrelid) AS definition,
        format('CREATE %%sINDEX %%I ON %%s USING ', CASE WHEN i.indisunique THEN 'UNIQUE ' END, x.relname, old.name) AS head,
        format('CREATE %%sINDEX %%I ON %%s USING ', CASE WHEN i.indisunique THEN 'UNIQUE ' END, x.relname, old.beside) AS new_head,
        NOT EXISTS (SELECT FROM constraints c WHERE c.conindid = i.indexrelid AND c.contype IN ('p', 'u', 'x')) AS alone
    FROM old JOIN pg_index i ON i.indrelid = old.oid
    JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_namespace n ON n.oid = x.relnamespace
    JOIN places ON places.oid = x.oid
), granted AS (
    SELECT old.name, g.*, CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(g.grantee)) END AS who
    FROM old, aclexplode(coalesce(old.relacl, acldefault('r', old.relowner))) AS g
), statements (step, late, statement) AS (
    SELECT 1, false, format('ALTER TABLE %%s SET TABLESPACE %%I', old.beside, spcname)
    FROM old, names JOIN pg_class b ON b.oid = names.beside JOIN pg_database d ON d.datname = current_database(), pg_tablespace s
    WHERE b.reltablespace <> old.reltablespace AND s.oid = coalesce(nullif(old.reltablespace, 0), d.dattablespace)
    UNION ALL SELECT 2, false, format('ALTER TABLE %%s SET UNLOGGED', beside) FROM old WHERE relpersistence = 'u'
    UNION ALL SELECT 3, false, format('ALTER TABLE %%s RESET (autovacuum_enabled)', beside) FROM old
    UNION ALL SELECT 4, false, format('ALTER TABLE %%s SET (%%I = %%L)', beside, option_name, option_value)
    FROM old, pg_options_to_table(reloptions)
    UNION ALL SELECT 4, false, format('ALTER TABLE %%s SET (toast.%%I = %%L)', beside, option_name, option_value)
    FROM old JOIN pg_class toast ON toast.oid = old.reltoastrelid, pg_options_to_table(toast.reloptions)
    -- columns
    UNION ALL SELECT 5, false, format('%%sTYPE %%s COLLATE %%I.%%I', alter_it, format_type(atttypid, atttypmod), n.nspname, l.collname)
    FROM columns JOIN pg_collation l ON l.oid = attcollation JOIN pg_namespace n ON n.oid = l.collnamespace
    WHERE attcollation <> (SELECT b.attcollation FROM pg_attribute b, names WHERE b.attrelid = names.beside AND b.attname = columns.attname)
    UNION ALL SELECT 6, false, format('ALTER TABLE %%s ', beside) || string_agg(format('ALTER COLUMN %%I SET NOT NULL', attname), ', ')
    FROM columns WHERE attnotnull AND NOT EXISTS (SELECT FROM constraints WHERE contype = 'n' AND conkey = ARRAY[attnum]) GROUP BY beside
    UNION ALL SELECT 6, false, format('%%sSET DEFAULT %%s', alter_it, pg_get_expr(d.adbin, d.adrelid))
    FROM columns JOIN pg_attrdef d ON d.adrelid = attrelid AND d.adnum = attnum AND attgenerated = ''
    UNION ALL SELECT 6, false, format('%%sSET STORAGE %%s', alter_it,
        CASE attstorage WHEN 'p' THEN 'PLAIN' WHEN 'e' THEN 'EXTERNAL' WHEN 'm' THEN 'MAIN' ELSE 'EXTENDED' END)
    FROM columns JOIN pg_type t ON t.oid = atttypid WHERE attstorage <> typstorage
    UNION ALL SELECT 6, false, format('%%sSET COMPRESSION %%s', alter_it, CASE attcompression WHEN 'l' THEN 'lz4' ELSE 'pglz' END)
    FROM columns WHERE attcompression <> ''
    UNION ALL SELECT 6, false, format('%%sSET STATISTICS %%s', alter_it, attstattarget) FROM columns WHERE attstattarget >= 0
    UNION ALL SELECT 6, false, format('%%sSET (%%I = %%L)', alter_it, option_name, option_value)
    FROM columns, pg_options_to_table(attoptions) WHERE option_name <> 'pg_attver' -- some servers' own mark of a column's making
    UNION ALL SELECT 6, false, format('COMMENT ON COLUMN %%s.%%I IS %%L', beside, attname, col_description(attrelid, attnum))
    FROM columns WHERE col_description(attrelid, attnum) IS NOT NULL
    -- constraints, those that a look at every row proves together; indexes; a reference to the table itself has to wait for its place
    UNION ALL SELECT 11, false, format('ALTER TABLE %%s %%s', beside, string_agg(add_it, ', ' ORDER BY conname))
    FROM constraints WHERE contype IN ('n', 'c') GROUP BY beside
    UNION ALL SELECT position(contype IN 'pux') + 11, false, format('%%sALTER TABLE %%s %%s', go_there, beside, add_it)
    FROM constraints WHERE contype IN ('p', 'u', 'x')
    UNION ALL SELECT 17, false, CASE WHEN starts_with(definition, head) THEN go_there || new_head || substr(definition, length(head) + 1)
        ELSE format('DO $$ BEGIN RAISE ''cannot carry index %%%%'', %%L; END $$', relname) END
    FROM indexes WHERE alone
    UNION ALL SELECT 18, false, format('SET LOCAL default_tablespace = %%L', current_setting('default_tablespace'))
    UNION ALL SELECT 18, false, format('ALTER TABLE %%s CLUSTER ON %%I', beside, relname) FROM indexes WHERE indisclustered
    UNION ALL SELECT 18, false, format('ALTER TABLE %%s REPLICA IDENTITY USING INDEX %%I', beside, relname) FROM indexes WHERE indisreplident
    UNION ALL SELECT 18, false, format('ALTER TABLE %%s REPLICA IDENTITY %%s', beside, CASE relreplident WHEN 'f' THEN 'FULL' ELSE 'NOTHING' END)
    FROM old WHERE relreplident IN ('f', 'n')
    UNION ALL SELECT 19, false, format('ALTER TABLE %%s %%s', beside, add_it) FROM constraints WHERE contype = 'f' AND confrelid <> conrelid
    UNION ALL SELECT 20, true, format('ALTER TABLE %%s %%s', name, add_it) FROM constraints WHERE contype = 'f' AND confrelid = conrelid
    UNION ALL SELECT 20, true, format('ALTER INDEX %%I.%%I ALTER COLUMN %%s SET STATISTICS %%s', nspname, relname, attnum, attstattarget)
    FROM indexes JOIN pg_attribute ON attrelid = indexrelid WHERE attstattarget >= 0 AND indkey[attnum - 1] = 0
    UNION ALL SELECT 20, true, format('ALTER TABLE %%s FORCE ROW LEVEL SECURITY', name) FROM old WHERE relforcerowsecurity
    -- what is said about them
    UNION ALL SELECT 21, true, format('COMMENT ON TABLE %%s IS %%L', name, obj_description(oid, 'pg_class')) FROM old
    UNION ALL SELECT 21, true, format('COMMENT ON CONSTRAINT %%I ON %%s IS %%L', conname, name, obj_description(oid, 'pg_constraint'))
    FROM constraints WHERE obj_description(oid, 'pg_constraint') IS NOT NULL
    UNION ALL SELECT 21, true, format('COMMENT ON INDEX %%I.%%I IS %%L', nspname, relname, obj_description(indexrelid, 'pg_class'))
    FROM indexes WHERE obj_description(indexrelid, 'pg_class') IS NOT NULL
    UNION ALL SELECT 22, true, pg_get_statisticsobjdef(e.oid) FROM old JOIN pg_statistic_ext e ON e.stxrelid = old.oid
    UNION ALL SELECT 23, true, format('ALTER STATISTICS %%I.%%I SET STATISTICS %%s', n.nspname, e.stxname, e.stxstattarget)
    FROM old JOIN pg_statistic_ext e ON e.stxrelid = old.oid JOIN pg_namespace n ON n.oid = e.stxnamespace WHERE e.stxstattarget >= 0
    UNION ALL SELECT 23, true, format('COMMENT ON STATISTICS %%I.%%I IS %%L', n.nspname, e.stxname, obj_description(e.oid, 'pg_statistic_ext'))
    FROM old JOIN pg_statistic_ext e ON e.stxrelid = old.oid JOIN pg_namespace n ON n.oid = e.stxnamespace
    WHERE obj_description(e.oid, 'pg_statistic_ext') IS NOT NULL
    -- owner and grants
    UNION ALL SELECT 24, true, format('ALTER TABLE %%s OWNER TO %%I', name, pg_get_userbyid(old.relowner))
    FROM old, names JOIN pg_class b ON b.oid = names.beside WHERE b.relowner <> old.relowner
    UNION ALL SELECT 25, true, format('REVOKE ALL ON %%s FROM %%s', name, CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(g.grantee)) END)
    FROM old, names JOIN pg_class b ON b.oid = names.beside, aclexplode(coalesce(b.relacl, acldefault('r', b.relowner))) AS g
    UNION ALL SELECT 25, true, format('REVOKE ALL ON %%s FROM %%I', name, pg_get_userbyid(relowner)) FROM old
    UNION ALL SELECT 26, true, format('GRANT %%s ON %%s TO %%s%%s', privilege_type, name, who, CASE WHEN is_grantable THEN ' WITH GRANT OPTION' END)
    FROM granted
    UNION ALL SELECT 26, true, format('GRANT %%s (%%I) ON %%s TO %%s%%s', g.privilege_type, attname, name,
        CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(g.grantee)) END, CASE WHEN g.is_grantable THEN ' WITH GRANT OPTION' END)
    FROM columns, aclexplode(attacl) AS g
)
SELECT DISTINCT step, late, statement FROM statements ORDER BY step, statement
