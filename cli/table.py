"""The demo's table: live on a terminal, one line now and then elsewhere, and as a summary."""

from rich import box
from rich.table import Table

from cli.board import Board, Cell


def live_table(board: Board, now_s: float) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("venue")
    table.add_column("symbol")
    for name in ("futures", "last", "bid", "ask", "age", "trades", "errors"):
        table.add_column(name, justify="right")
    for exchange in board.exchanges:
        for row, symbol in enumerate(board.symbols):
            first = row == 0
            cells = _live_cells(board, exchange, symbol, now_s)
            errors = str(board.errors(exchange)) if first else ""
            table.add_row(exchange if first else "", symbol, *cells, errors)
    return table


def summary_table(board: Board) -> Table:
    """Venue × symbol: FuturesData since the clock started."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("venue")
    for symbol in board.symbols:
        table.add_column(symbol, justify="right")
    table.add_column("trades", justify="right")
    table.add_column("errors", justify="right")
    for exchange in board.exchanges:
        cells = [board.cell(exchange, symbol) for symbol in board.symbols]
        counts = [
            str(cell.counted) if symbol in board.expected(exchange) else "not listed"
            for symbol, cell in zip(board.symbols, cells, strict=True)
        ]
        trades = sum(cell.trades for cell in cells)
        table.add_row(exchange, *counts, str(trades), str(board.errors(exchange)))
    return table


def plain_line(board: Board, up_s: float) -> str:
    venues = (
        f"{exchange} {_sum(board, exchange, 'futures')} futures"
        f" {_sum(board, exchange, 'trades')} trades {board.errors(exchange)} errors"
        for exchange in board.exchanges
    )
    return f"{up_s:4.0f} s | " + " | ".join(venues)


def _sum(board: Board, exchange: str, count: str) -> int:
    return sum(getattr(board.cell(exchange, symbol), count) for symbol in board.symbols)


def _live_cells(board: Board, exchange: str, symbol: str, now_s: float) -> list[str]:
    cell: Cell = board.cell(exchange, symbol)
    if cell.seen_at is None:
        waits = symbol in board.expected(exchange)
        return ["waiting" if waits else "not listed", "", "", "", "", str(cell.trades or "")]
    prices = (cell.last, cell.bid, cell.ask)
    age = f"{now_s - cell.seen_at:.1f} s"
    return [str(cell.futures), *(f"{price:g}" for price in prices), age, str(cell.trades)]
