"""Purchases from abroad: `python -m etl_jobs.erp.import_purchases`."""

from __future__ import annotations

from etl_jobs.command import run
from etl_jobs.erp.documents import Documents
from etl_jobs.erp.reload import load_documents

IMPORT_PURCHASES = Documents(
    model="purchase.order",
    target="import_purchase",
    columns={
        "id": ("integer", "id"),
        "number": ("text", "name"),
        "ordered_on": ("date", "date_order"),
        "supplier_id": ("integer", "partner_id.0"),
        "supplier": ("text", "partner.name"),
        "country": ("text", "partner.country"),
        "company_id": ("integer", "company_id.0"),
        "company": ("text", "company.name"),
        "currency": ("text", "currency"),
        "amount": ("numeric(14,2)", "amount_total"),
        "residual": ("numeric(14,2)", "amount_residual"),
        "paid": ("boolean", "paid"),
    },
)


def main() -> None:
    load_documents(IMPORT_PURCHASES, "Load purchases from abroad.")


if __name__ == "__main__":
    run(main)
