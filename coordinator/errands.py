"""What only a host or a collector itself can do: handed to the agent, or to the collectors."""

import hashlib
import secrets
from dataclasses import dataclass, replace
from typing import Literal

import orjson

from coordinator.answers import success
from coordinator.commands import Command
from coordinator.leadership import Leadership, Sender
from coordinator.outlet import Outlet
from coordinator.roster import Roster
from shared.clock import Clock
from shared.errands import Errand
from shared.errors import CommandError
from shared.orders import BreakerOrder
from shared.venues import canonical_venue

_DONE = {"trip": "leave alone", "reset": "may ask"}


@dataclass(frozen=True, slots=True)
class Errands:
    """Sends errands and orders, and answers that they were taken: what became of one stands in the
    agent's heartbeat, and in that of the worker."""

    leadership: Leadership
    roster: Roster
    outlet: Outlet
    clock: Clock

    async def answer(self, command: Command, sender: Sender) -> bytes:
        """The answer to a command that a host has to do. Raises CommandError and BrokerError."""
        await self.leadership.claim()
        if command.name == "restart_worker":
            return await self._restart(command, sender)
        if command.name == "reload_config":
            return await self._reload(command, sender)
        if command.name in ("trip_breaker", "reset_breaker"):
            return await self._order(command)
        return await self._switch(command, sender)

    async def _restart(self, command: Command, sender: Sender) -> bytes:
        worker = command.worker or ""
        member = self.roster.of(worker)
        if member is None:
            raise CommandError("invalid_command", f"worker: {worker!r} was never heard of")
        host = worker.partition("@")[2]
        errand = Errand(
            id=_id(command, sender), action="restart", worker=worker, sent_at=self.clock.now_ms()
        )
        await self._hand(host, errand)
        data = {"worker": worker, "host": host, "errand": errand.id}
        text = f"The agent of {host} restarts {worker}"
        now_s = self.clock.now_ms() // 1000
        return orjson.dumps(success(command.name, command.correlation_id, text, data, now_s))

    async def _reload(self, command: Command, sender: Sender) -> bytes:
        """Of one host, or of all that have an agent."""
        errand = Errand(id=_id(command, sender), action="reload", sent_at=self.clock.now_ms())
        agents = (beat.worker.partition("@")[2] for beat in self.roster.alive("agent"))
        hosts = [command.host] if command.host else sorted(agents)
        if not hosts:
            raise CommandError("unavailable", "No agent of any host is alive")
        for host in hosts:
            await self._hand(host, errand)
        text = f"The agents of {', '.join(hosts)} have the configuration looked at"
        data = {"hosts": hosts, "errand": errand.id}
        now_s = self.clock.now_ms() // 1000
        return orjson.dumps(success(command.name, command.correlation_id, text, data, now_s))

    async def _order(self, command: Command) -> bytes:
        """About the breakers of a venue: every collector of it is told."""
        action: Literal["trip", "reset"] = "trip" if command.name == "trip_breaker" else "reset"
        order = BreakerOrder(action=action, endpoint=command.endpoint, seconds=command.seconds)
        body = order.model_dump_json(exclude_none=True).encode()
        beats = [
            beat
            for beat in self.roster.alive("collector")
            if beat.mailbox and beat.exchange and canonical_venue(beat.exchange) == command.venue
        ]
        told = [beat for beat in beats if await self.outlet.order(beat.mailbox or "", body)]
        if not told:
            raise CommandError("unavailable", f"No collector of {command.venue} is alive")
        workers, exchange = sorted(beat.worker for beat in told), told[0].exchange
        text = f"{', '.join(workers)}: {_DONE[action]} REST of {exchange}"
        data = {
            "exchange": exchange,
            "endpoint": command.endpoint.value if command.endpoint else None,
            "workers": workers,
        }
        now_s = self.clock.now_ms() // 1000
        return orjson.dumps(success(command.name, command.correlation_id, text, data, now_s))

    async def _switch(self, command: Command, sender: Sender) -> bytes:
        """Have one host begin or cease to collect an exchange. What begins has to be on for all."""
        host, venue = command.host or "", command.venue or ""
        if not await self.outlet.ping(self._mailbox_of(host)):  # before anything is changed
            raise CommandError("unavailable", f"The agent of host {host} is gone")
        enable = command.name == "enable_exchange"
        if enable:
            here = replace(command, host=None)
            answer = orjson.loads(await self.leadership.write(here, sender))
        else:
            answer = orjson.loads(await self.leadership.switched(command))
        if not answer["success"]:
            return orjson.dumps(answer)
        action = "add" if enable else "leave"
        errand = Errand(
            id=_id(command, sender), action=action, exchange=venue, sent_at=self.clock.now_ms()
        )
        await self._hand(host, errand)
        answer["data"] |= {"host": host, "errand": errand.id, "enabled": enable}
        name = answer["data"]["exchange"]
        answer["message"] = f"The agent of {host} {'adds' if enable else 'leaves'} {name}"
        return orjson.dumps(answer)

    async def _hand(self, host: str, errand: Errand) -> None:
        mailbox = self._mailbox_of(host)
        body = errand.model_dump_json(exclude_none=True).encode()
        if not await self.outlet.errand(mailbox, body):
            raise CommandError("unavailable", f"The agent of host {host} is gone")

    def _mailbox_of(self, host: str) -> str:
        for beat in self.roster.alive("agent"):
            if beat.worker.partition("@")[2] == host and beat.mailbox is not None:
                return beat.mailbox
        raise CommandError("unavailable", f"No agent of host {host} is alive")


def _id(command: Command, sender: Sender) -> str:
    """The same for a command that is repeated, which is then done once."""
    if command.correlation_id is None:
        return secrets.token_hex(8)
    named = repr((sender.user, command.correlation_id, sender.digest)).encode()
    return hashlib.blake2b(named, digest_size=8).hexdigest()
