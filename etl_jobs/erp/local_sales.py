"""Sales at home: `python -m etl_jobs.erp.local_sales`."""

from __future__ import annotations

from etl_jobs.command import run
from etl_jobs.erp.documents import Documents
from etl_jobs.erp.reload import load_documents

LOCAL_SALES = Documents(
    model="sale.order",
    target="local_sale",
    columns={
        "id": ("integer", "id"),
        "number": ("text", "name"),
        "sold_on": ("date", "date_order"),
        "state": ("text", "state"),
        "customer_id": ("integer", "partner_id.0"),
        "customer": ("text", "partner.name"),
        "city": ("text", "partner.city"),
        "company_id": ("integer", "company_id.0"),
        "company": ("text", "company.name"),
        "currency": ("text", "company.currency"),
        "amount": ("numeric(14,2)", "amount_total"),
        "residual": ("numeric(14,2)", "amount_residual"),
        "paid": ("boolean", "paid"),
    },
)


def main() -> None:
    load_documents(LOCAL_SALES, "Load sales at home.")


if __name__ == "__main__":
    run(main)
