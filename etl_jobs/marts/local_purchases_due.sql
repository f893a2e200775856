-- What is still to be paid to suppliers, by the date it is due.
SELECT
    d.due_on,
    b.partner_id        AS supplier_id,
    p.name              AS supplier,
    count(*)            AS parts,
    sum(d.amount)       AS amount,
    sum(d.residual)     AS to_pay
FROM local_purchase_due AS d
JOIN local_purchase AS b ON b.id = d.purchase_id
JOIN partner AS p ON p.id = b.partner_id
WHERE d.residual > 0
GROUP BY 1, 2, 3
