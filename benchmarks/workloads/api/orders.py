"""An API of orders: validated models, kept in sqlite."""

import sqlite3
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from pathlib import Path

from fastapi import FastAPI, HTTPException
from pydantic import BaseModel, Field

DATABASE = Path(tempfile.gettempdir()) / "orders.sqlite"

SCHEMA = """
CREATE TABLE IF NOT EXISTS orders (
    id INTEGER PRIMARY KEY,
    customer TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('open', 'paid', 'shipped')),
    placed_at TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS items (
    order_id INTEGER NOT NULL REFERENCES orders (id),
    article TEXT NOT NULL,
    quantity INTEGER NOT NULL CHECK (quantity > 0),
    price TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS orders_by_customer ON orders (customer);
CREATE INDEX IF NOT EXISTS items_by_order ON items (order_id);
"""


class State(StrEnum):
    """How far an order is."""

    OPEN = "open"
    PAID = "paid"
    SHIPPED = "shipped"


class Item(BaseModel):
    """A line of an order."""

    article: str = Field(min_length=1, max_length=64)
    quantity: int = Field(gt=0)
    price: Decimal = Field(ge=0, decimal_places=2)


class NewOrder(BaseModel):
    """What a customer sends."""

    customer: str = Field(min_length=1, max_length=64)
    items: list[Item] = Field(min_length=1)


class Order(NewOrder):
    """What is kept of it."""

    id: int
    state: State
    placed_at: datetime


@contextmanager
def database() -> Iterator[sqlite3.Connection]:
    """A connection for one request."""
    connection = sqlite3.connect(DATABASE)
    connection.row_factory = sqlite3.Row
    try:
        with connection:
            yield connection
    finally:
        connection.close()


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    """Set the schema up, and an order to answer with."""
    with database() as connection:
        connection.executescript(SCHEMA)
    place(NewOrder(customer="first", items=[Item(article="board", quantity=3, price=Decimal("49.90"))]))
    yield


app = FastAPI(title="orders", lifespan=lifespan)


@app.get("/orders")
def listed() -> list[Order]:
    """All orders, the newest first."""
    with database() as connection:
        rows = connection.execute("SELECT * FROM orders ORDER BY id DESC").fetchall()
        return [_order(connection, row) for row in rows]


@app.get("/orders/{number}")
def one(number: int) -> Order:
    """One order."""
    with database() as connection:
        row = connection.execute("SELECT * FROM orders WHERE id = ?", (number,)).fetchone()
        if row is None:
            raise HTTPException(404, f"there is no order {number}")
        return _order(connection, row)


@app.post("/orders", status_code=201)
def place(order: NewOrder) -> Order:
    """Keep a new order."""
    with database() as connection:
        placed_at = datetime.now(UTC)
        number = connection.execute(
            "INSERT INTO orders (customer, state, placed_at) VALUES (?, ?, ?)",
            (order.customer, State.OPEN, placed_at.isoformat()),
        ).lastrowid
        connection.executemany(
            "INSERT INTO items VALUES (?, ?, ?, ?)",
            [(number, item.article, item.quantity, str(item.price)) for item in order.items],
        )
    return Order(id=number or 0, state=State.OPEN, placed_at=placed_at, **order.model_dump())


def _order(connection: sqlite3.Connection, row: sqlite3.Row) -> Order:
    items = connection.execute("SELECT * FROM items WHERE order_id = ?", (row["id"],)).fetchall()
    return Order(**row, items=[Item(**item) for item in items])
