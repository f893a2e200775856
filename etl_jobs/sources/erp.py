"""An invented trading group's ERP: imports, local sales, local purchases with due dates, stock.

Every value is computed from the seed, the table and the row's number alone. So two calls yield the same rows,
a child knows its parents without asking, an order's total is the sum of its lines, and nothing is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date, timedelta

_MASK = (1 << 64) - 1
_FIRST = date(2025, 1, 1)
_DAYS = [(_FIRST + timedelta(days=n)).isoformat() for n in range(1000)]
_TRADING = 640  # orders fall on the first 640 days
_TODAY = 660  # what is due later is open

_CURRENCIES = [("EUR", "Euro", 2), ("USD", "US dollar", 2), ("MAD", "Moroccan dirham", 2), ("CNY", "Renminbi", 2),
               ("GBP", "Pound sterling", 2), ("TND", "Tunisian dinar", 3), ("TRY", "Turkish lira", 2),
               ("JPY", "Yen", 0), ("INR", "Indian rupee", 2), ("CHF", "Swiss franc", 2)]  # fmt: skip
_COUNTRIES = [("MA", "Maroc"), ("FR", "France"), ("ES", "España"), ("DE", "Deutschland"), ("CN", "中国"),
              ("TR", "Türkiye"), ("TN", "Tunisie"), ("IN", "India"), ("GB", "United Kingdom"), ("US", "United States"),
              ("IT", "Italia"), ("PT", "Portugal"), ("JP", "日本"), ("CH", "Schweiz")]  # fmt: skip
_CITIES = ["Casablanca", "Lyon", "Sevilla", "Köln", "Ningbo", "İzmir", "Sfax", "Pune", "Leeds", "Tampa"]
_NAMES = ["Atlas", "Horizon", "Delta", "Étoile", "Nord & Sud", "Rif", "Soleil", "Müller", "Océan", "Palma"]
_FORMS = ["SARL", "SA", "GmbH", "Ltd", "Frères", '"Import-Export"']
_GOODS = ["Pump", "Valve", "Cable", "Filter", "Motor", "Seal", "Bearing", "Switch", "Sensor", "Hose"]
_COSTS = ["freight", "customs", "insurance", "handling"]
_INCOTERMS = ["FOB", "CIF", "EXW"]
_STATES = ["draft", "sale", "sale", "done", "done", "cancel"]
_TERMS = [(1, "At once", 0, 1), (2, "30 days", 30, 1), (3, "60 days", 60, 1), (4, "30/60/90 days", 30, 3)]
_COMPANIES, _WAREHOUSES = 4, 8

Line = tuple[int, int, int, int, int]  # number, product, quantity, unit price in cents, amount in cents

COLUMNS: dict[str, str] = {
    "currency": "code,name,digits",
    "country": "code,name",
    "company": "id,name,country_code,currency_code",
    "users": "id,login,name,company_id,active",
    "exchange_rate": "currency_code,day,rate",
    "partner": "id,name,kind,country_code,city,address,user_id,created_on",
    "product_category": "id,name,parent_id",
    "product": "id,code,name,category_id,list_price,weight_kg,active",
    "warehouse": "id,code,name,company_id",
    "payment_term": "id,name,days,parts",
    "import_order": "id,number,partner_id,company_id,warehouse_id,currency_code,incoterm,ordered_on,amount_total",
    "import_order_line": "order_id,line_no,product_id,quantity,unit_price,amount",
    "landed_cost": "order_id,kind,amount,booked_on",
    "local_sale": "id,number,partner_id,company_id,user_id,warehouse_id,sold_on,state,amount_total",
    "local_sale_line": "sale_id,line_no,product_id,quantity,unit_price,amount",
    "local_purchase": "id,number,partner_id,company_id,payment_term_id,invoiced_on,amount_total",
    "local_purchase_line": "purchase_id,line_no,product_id,quantity,unit_price,amount",
    "local_purchase_due": "purchase_id,part_no,due_on,amount,paid,residual",
    "supplier_payment": "purchase_id,part_no,paid_on,amount,method",
    "stock_move": "id,product_id,warehouse_id,kind,quantity,moved_at",
}


class Erp:
    """All tables at a scale; 1 is about 200,000 rows together."""

    def __init__(self, *, scale: float, seed: int) -> None:
        def sized(rows: int) -> int:
            return max(3, round(rows * scale))

        self._seed = seed * 0x632BE59BD9B4E019
        self.users, self.partners, self.products, self.categories = sized(100), sized(6_000), sized(4_000), 40
        self.imports, self.sales, self.purchases = sized(3_000), sized(19_000), sized(9_000)
        self.moves = sized(20_000)

    def rows(self, table: str) -> Iterator[str]:
        """The table's rows as CSV lines without their line ends."""
        rows: Callable[[], Iterator[str]] = getattr(self, f"_{table}")
        return rows()

    def _draw(self, stream: int, number: int) -> int:
        """64 random-looking bits for row `number` of a stream (the finaliser of splitmix64)."""
        x = (self._seed + stream * 0xC2B2AE3D27D4EB4F + number * 0x9E3779B97F4A7C15) & _MASK
        x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & _MASK
        return x ^ (x >> 31)

    def _supplier(self, bits: int) -> int:
        return 3 * (bits % (self.partners // 3)) + 3

    def _customer(self, bits: int) -> int:
        return 3 * (bits % (self.partners // 3)) + 1

    def _lines(self, stream: int, order: int, most: int) -> Iterator[Line]:
        """The lines of an order: 1 to `most` of them."""
        for number in range(1, 2 + self._draw(stream, order) % most):
            bits = self._draw(stream + 1, order * 16 + number)
            quantity, price = 1 + (bits >> 32) % 60, 150 + (bits >> 40) % 90_000
            yield number, 1 + bits % self.products, quantity, price, quantity * price

    def _line_rows(self, stream: int, orders: int, most: int) -> Iterator[str]:
        for order in range(1, orders + 1):
            for number, product, quantity, price, amount in self._lines(stream, order, most):
                yield f"{order},{number},{product},{quantity},{_money(price)},{_money(amount)}"

    def _total(self, stream: int, order: int, most: int) -> int:
        return sum(line[4] for line in self._lines(stream, order, most))

    # The tables. Streams are told apart by their first number; lines take two.

    def _currency(self) -> Iterator[str]:
        return (f"{code},{name},{digits}" for code, name, digits in _CURRENCIES)

    def _country(self) -> Iterator[str]:
        return (f"{code},{name}" for code, name in _COUNTRIES)

    def _company(self) -> Iterator[str]:
        for n in range(1, _COMPANIES + 1):
            yield f"{n},Group {_NAMES[n]},{_COUNTRIES[n - 1][0]},{_CURRENCIES[n - 1][0]}"

    def _users(self) -> Iterator[str]:
        for n in range(1, self.users + 1):
            bits = self._draw(1, n)
            yield f"{n},user{n}@group.example,User {n},{1 + bits % _COMPANIES},{'f' if bits % 11 == 0 else 't'}"

    def _exchange_rate(self) -> Iterator[str]:
        for index, (code, _, _) in enumerate(_CURRENCIES):
            for day in range(_TODAY):
                bits = self._draw(2, index * 1000 + day)
                yield f"{code},{_DAYS[day]},{1 + index * 3}.{bits % 1_000_000:06d}"

    def _partner(self) -> Iterator[str]:
        for n in range(1, self.partners + 1):
            bits = self._draw(3, n)
            kind = "supplier" if n % 3 == 0 else "customer"
            name = f"{_NAMES[bits % 10]}, {_FORMS[(bits >> 8) % 6]} {n}".replace('"', '""')
            street = f"{1 + (bits >> 16) % 200} rue {_NAMES[(bits >> 24) % 10]}"
            address = f'"{street}\nBât. {(bits >> 28) % 9}"' if bits % 5 == 0 else street
            user = "" if bits % 7 == 0 else 1 + (bits >> 32) % self.users
            yield (
                f'{n},"{name}",{kind},{_COUNTRIES[(bits >> 36) % 14][0]},{_CITIES[(bits >> 40) % 10]},'
                f"{address},{user},{_DAYS[(bits >> 44) % _TRADING]}"
            )

    def _product_category(self) -> Iterator[str]:
        for n in range(1, self.categories + 1):
            yield f"{n},{_GOODS[n % 10]}s {n},{'' if n <= 5 else 1 + n % 5}"

    def _product(self) -> Iterator[str]:
        for n in range(1, self.products + 1):
            bits = self._draw(4, n)
            price, grams = _money(150 + bits % 90_000), 1 + (bits >> 20) % 50_000
            yield (
                f"{n},P{n:06d},{_GOODS[bits % 10]} {n},{1 + (bits >> 8) % self.categories},"
                f"{price},{grams // 1000}.{grams % 1000:03d},{'f' if bits % 13 == 0 else 't'}"
            )

    def _warehouse(self) -> Iterator[str]:
        for n in range(1, _WAREHOUSES + 1):
            yield f"{n},W{n:02d},{_CITIES[n]} {n},{1 + n % _COMPANIES}"

    def _payment_term(self) -> Iterator[str]:
        return (f"{n},{name},{days},{parts}" for n, name, days, parts in _TERMS)

    def _import_order(self) -> Iterator[str]:
        for n in range(1, self.imports + 1):
            bits = self._draw(5, n)
            yield (
                f"{n},IMP/{n:06d},{self._supplier(bits)},{1 + (bits >> 20) % _COMPANIES},"
                f"{1 + (bits >> 24) % _WAREHOUSES},{_CURRENCIES[(bits >> 28) % 10][0]},"
                f"{_INCOTERMS[(bits >> 32) % 3]},{_DAYS[(bits >> 36) % _TRADING]},{_money(self._total(10, n, 9))}"
            )

    def _import_order_line(self) -> Iterator[str]:
        return self._line_rows(10, self.imports, 9)

    def _landed_cost(self) -> Iterator[str]:
        for n in range(1, self.imports + 1):
            bits = self._draw(6, n)
            ordered = (self._draw(5, n) >> 36) % _TRADING
            for index in range(1 + bits % 4):
                cost = 5_000 + (bits >> (8 + 12 * index)) % 400_000
                booked = _DAYS[ordered + 10 + 7 * index] if (bits >> index) % 9 else ""
                yield f"{n},{_COSTS[index]},{_money(cost)},{booked}"

    def _local_sale(self) -> Iterator[str]:
        for n in range(1, self.sales + 1):
            bits = self._draw(7, n)
            yield (
                f"{n},SO/{n:06d},{self._customer(bits)},{1 + (bits >> 20) % _COMPANIES},"
                f"{1 + (bits >> 24) % self.users},{1 + (bits >> 32) % _WAREHOUSES},{_DAYS[(bits >> 36) % _TRADING]},"
                f"{_STATES[(bits >> 48) % 6]},{_money(self._total(12, n, 5))}"
            )

    def _local_sale_line(self) -> Iterator[str]:
        return self._line_rows(12, self.sales, 5)

    def _local_purchase(self) -> Iterator[str]:
        for n in range(1, self.purchases + 1):
            bits = self._draw(8, n)
            yield (
                f"{n},BILL/{n:06d},{self._supplier(bits)},{1 + (bits >> 20) % _COMPANIES},"
                f"{1 + (bits >> 24) % 4},{_DAYS[(bits >> 36) % _TRADING]},{_money(self._total(14, n, 4))}"
            )

    def _local_purchase_line(self) -> Iterator[str]:
        return self._line_rows(14, self.purchases, 4)

    def _parts(self, purchase: int) -> Iterator[tuple[int, int, int, int]]:
        """The parts a purchase is paid in: number, day due, cents due, cents paid. They add up to its total."""
        bits = self._draw(8, purchase)
        _, _, days, parts = _TERMS[(bits >> 24) % 4]
        total = self._total(14, purchase, 4)
        for number in range(1, parts + 1):
            due = (bits >> 36) % _TRADING + days * number
            amount = total // parts + (total % parts if number == 1 else 0)
            luck = self._draw(9, purchase * 4 + number) % 100
            yield number, due, amount, (0 if due >= _TODAY or luck < 8 else amount // 2 if luck < 14 else amount)

    def _local_purchase_due(self) -> Iterator[str]:
        for purchase in range(1, self.purchases + 1):
            for number, due, amount, paid in self._parts(purchase):
                yield f"{purchase},{number},{_DAYS[due]},{_money(amount)},{_money(paid)},{_money(amount - paid)}"

    def _supplier_payment(self) -> Iterator[str]:
        for purchase in range(1, self.purchases + 1):
            for number, due, _, paid in self._parts(purchase):
                if paid:
                    yield f"{purchase},{number},{_DAYS[due]},{_money(paid)},{('wire', 'cheque')[purchase % 2]}"

    def _stock_move(self) -> Iterator[str]:
        for n in range(1, self.moves + 1):
            bits = self._draw(16, n)
            moved = f"{_DAYS[n * _TRADING // (self.moves + 1)]} {bits % 24:02d}:{(bits >> 6) % 60:02d}:00+00"
            yield (
                f"{n},{1 + (bits >> 12) % self.products},{1 + (bits >> 32) % _WAREHOUSES},"
                f"{('in', 'out')[bits >> 40 & 1]},{1 + (bits >> 41) % 100},{moved}"
            )


def _money(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02d}"
