-- Sales by month, company and product category, without drafts and cancelled ones.
SELECT
    date_trunc('month', s.sold_on)::date AS month,
    s.company_id,
    c.id                                 AS category_id,
    c.name                               AS category,
    count(DISTINCT s.id)                 AS sales,
    sum(l.quantity)                      AS quantity,
    sum(l.amount)                        AS amount
FROM local_sale AS s
JOIN local_sale_line AS l ON l.sale_id = s.id
JOIN product AS p ON p.id = l.product_id
JOIN product_category AS c ON c.id = p.category_id
WHERE s.state IN ('sale', 'done')
GROUP BY 1, 2, 3, 4
