-- The rules through which plain views look at %(target)s, and the statements that let go of it and take it up again.
-- A view is a rule named _RETURN; its others say what writing to it means. Those that look through others come first.
WITH RECURSIVE uses (view, of) AS (
    SELECT DISTINCT r.ev_class, d.refobjid FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid
    JOIN pg_class v ON v.oid = r.ev_class AND v.relkind = 'v'
    WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> r.ev_class
), depths (view, depth) AS (
    SELECT view, 1 FROM uses WHERE of = %(target)s::regclass
    UNION SELECT uses.view, depth + 1 FROM depths JOIN uses ON uses.of = depths.view WHERE depth < 100
), rules AS (
    SELECT r.*, format('%%I.%%I', n.nspname, v.relname) AS name, v.relowner, v.reloptions, max(depth) AS depth
    FROM depths JOIN pg_rewrite r ON r.ev_class = depths.view
    JOIN pg_class v ON v.oid = r.ev_class JOIN pg_namespace n ON n.oid = v.relnamespace
    WHERE EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
        AND d.refclassid = 'pg_class'::regclass AND d.refobjid = %(target)s::regclass)
    GROUP BY r.oid, n.nspname, v.oid
), columns AS (
    SELECT attrelid, string_agg(format('NULL::%%s%%s AS %%I', format_type(atttypid, atttypmod),
        ' COLLATE ' || quote_ident(n.nspname) || '.' || quote_ident(l.collname), attname), ', ' ORDER BY attnum) AS empty
    FROM pg_attribute LEFT JOIN pg_collation l ON l.oid = attcollation LEFT JOIN pg_namespace n ON n.oid = l.collnamespace
    WHERE attrelid IN (SELECT ev_class FROM rules) AND attnum > 0 AND NOT attisdropped GROUP BY attrelid
), options AS (
    SELECT oid, format(' WITH (%%s)', string_agg(format('%%I = %%L', option_name, option_value), ', ')) AS set
    FROM rules, pg_options_to_table(reloptions) GROUP BY oid
)
SELECT name,
    format('ALTER VIEW %%s OWNER TO %%I', name, pg_get_userbyid(relowner)) AS lock,
    CASE rulename WHEN '_RETURN' THEN format('CREATE OR REPLACE VIEW %%s AS SELECT %%s', name, empty)
        ELSE format('CREATE OR REPLACE RULE %%I AS ON %%s TO %%s DO INSTEAD NOTHING', rulename,
            CASE ev_type WHEN '2' THEN 'UPDATE' WHEN '3' THEN 'INSERT' ELSE 'DELETE' END, name) END AS let_go,
    CASE rulename WHEN '_RETURN' THEN format('CREATE OR REPLACE VIEW %%s%%s AS %%s', name, options.set, pg_get_viewdef(ev_class))
        ELSE 'CREATE OR REPLACE' || substr(pg_get_ruledef(oid), 7) END AS take_up
FROM rules LEFT JOIN columns ON attrelid = ev_class LEFT JOIN options USING (oid)
ORDER BY depth DESC, name, rulename
