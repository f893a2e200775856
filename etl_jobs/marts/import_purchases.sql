-- Imports by month and supplier: goods in the group's own currency, with freight, customs and the like.
SELECT
    date_trunc('month', o.ordered_on)::date                  AS month,
    o.partner_id                                             AS supplier_id,
    p.name                                                   AS supplier,
    count(*)                                                 AS orders,
    round(sum(o.amount_total * coalesce(r.rate, 1)), 2)      AS goods_amount,
    coalesce(sum(c.amount), 0)                               AS landed_costs
FROM import_order AS o
JOIN partner AS p ON p.id = o.partner_id
LEFT JOIN exchange_rate AS r ON r.currency_code = o.currency_code AND r.day = o.ordered_on
LEFT JOIN (SELECT order_id, sum(amount) AS amount FROM landed_cost GROUP BY order_id) AS c ON c.order_id = o.id
GROUP BY 1, 2, 3
