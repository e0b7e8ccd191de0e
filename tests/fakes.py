"""Stand-ins for time, which tests move by hand."""

import asyncio


class FakeClock:
    """Both clocks start at a fixed moment; `sleep` moves them at once."""

    def __init__(self) -> None:
        self.elapsed_s = 0.0
        self.slept: list[float] = []

    def now_ms(self) -> int:
        return 1_800_000_000_000 + round(self.elapsed_s * 1000)

    def now_ns(self) -> int:
        return 1_000_000 * self.now_ms()

    def monotonic(self) -> float:
        return 1000.0 + self.elapsed_s

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.elapsed_s += seconds
        await asyncio.sleep(0)
