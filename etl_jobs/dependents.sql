-- What hangs on the table %(target)s and cannot be moved to another one in its place, in words.
WITH old AS (
    SELECT * FROM pg_class WHERE oid = %(target)s::regclass
), views AS (
    SELECT v.oid, concat_ws(' and ',
        CASE WHEN NOT pg_has_role(v.relowner, 'USAGE') THEN 'belongs to ' || quote_ident(pg_get_userbyid(v.relowner)) END,
        CASE WHEN v.relpersistence = 't' THEN 'is another session''s' END,
        CASE WHEN NOT has_schema_privilege(v.relnamespace, 'CREATE') THEN 'stands in a schema we may not change' END) AS obstacle
    FROM pg_class v WHERE v.relkind = 'v'
)
SELECT CASE WHEN r.rulename = '_RETURN' THEN pg_describe_object('pg_class'::regclass, r.ev_class, 0)
            ELSE pg_describe_object(d.classid, d.objid, d.objsubid) END
    || coalesce(' (it ' || nullif(views.obstacle, '') || ')', '')
FROM old JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = old.oid
    OR d.refclassid = 'pg_type'::regclass
    AND d.refobjid IN (SELECT oid FROM pg_type WHERE oid = old.reltype OR typelem = old.reltype)
LEFT JOIN pg_rewrite r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid
LEFT JOIN views ON views.oid = r.ev_class
WHERE NOT CASE d.classid
    WHEN 'pg_rewrite'::regclass THEN coalesce(views.obstacle = '', false)
    WHEN 'pg_type'::regclass THEN d.deptype = 'i'
    WHEN 'pg_class'::regclass THEN d.objid IN (old.oid, old.reltoastrelid)
        OR EXISTS (SELECT FROM pg_index i WHERE i.indrelid = old.oid AND i.indexrelid = d.objid)
    WHEN 'pg_constraint'::regclass THEN EXISTS (SELECT FROM pg_constraint c WHERE c.oid = d.objid AND c.conrelid = old.oid)
    WHEN 'pg_attrdef'::regclass THEN true
    WHEN 'pg_statistic_ext'::regclass THEN true
    ELSE false
END
UNION SELECT 'row security of ' || oid::regclass FROM old WHERE relrowsecurity
UNION SELECT format('generated column %%I of %%s', attname, oid::regclass)
    FROM old JOIN pg_attribute ON attrelid = oid AND attgenerated <> '' AND NOT attisdropped
UNION SELECT 'inheritance from ' || inhparent::regclass FROM old JOIN pg_inherits ON inhrelid = old.oid
UNION SELECT oid::regclass || ' is no plain table' FROM old WHERE relkind <> 'r'
UNION SELECT 'security label of ' || objoid::regclass FROM old
    JOIN pg_seclabel l ON l.objoid = old.oid AND l.classoid = 'pg_class'::regclass
ORDER BY 1
