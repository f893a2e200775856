"""Purchases at home by due date, one row for each part to pay: `python -m etl_jobs.erp.local_purchases_due`."""

from __future__ import annotations

from etl_jobs.command import run
from etl_jobs.erp.documents import Documents
from etl_jobs.erp.reload import load_documents

LOCAL_PURCHASES_DUE = Documents(
    model="account.move.line",
    target="local_purchase_due",
    columns={
        "id": ("integer", "id"),
        "number": ("text", "name"),
        "part": ("integer", "part"),
        "invoiced_on": ("date", "date"),
        "due_on": ("date", "date_maturity"),
        "supplier_id": ("integer", "partner_id.0"),
        "supplier": ("text", "partner.name"),
        "company_id": ("integer", "company_id.0"),
        "company": ("text", "company.name"),
        "currency": ("text", "company.currency"),
        "amount": ("numeric(14,2)", "amount_total"),
        "residual": ("numeric(14,2)", "amount_residual"),
        "paid": ("boolean", "paid"),
    },
)


def main() -> None:
    load_documents(LOCAL_PURCHASES_DUE, "Load purchases at home by due date.")


if __name__ == "__main__":
    run(main)
