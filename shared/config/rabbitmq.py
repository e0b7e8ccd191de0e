"""The section of the broker."""

from typing import Literal
from urllib.parse import quote

from pydantic import Field, SecretStr

from shared.config.sections import Section
from shared.config.values import Port


class RabbitMQ(Section):
    """Where the broker is. `AMQP_URL` in the environment wins over host, port, user, password."""

    host: str = Field(default="127.0.0.1", min_length=1, description="the broker")
    port: Port = 5672
    user: str = "guest"
    password: SecretStr = SecretStr("guest")
    vhost: str = "/"
    exchange: str = Field(
        default="futures_data",
        min_length=1,
        max_length=127,
        description="the topic exchange that data goes to",
    )
    topology: Literal["declare", "assert"] = Field(
        default="declare",
        description="`assert` only checks that all names are there (for users who may not "
        "configure, see [operations](operations.md#users-and-permissions)); answers to `reply_to` "
        "then go through `futures_mailbox` alone",
    )
    batches: bool = Field(
        default=True, description="whether facts also travel as rows on `futures_batches`"
    )
    spool_mb: int = Field(
        default=1024,
        ge=1,
        description="disk that a worker may use, under `$FLEET_HOME/spool`, while the broker takes "
        "nothing; beyond it lossless messages are dropped and counted",
    )

    def url(self) -> str:
        user, password = quote(self.user, safe=""), quote(self.password.get_secret_value(), safe="")
        return f"amqp://{user}:{password}@{self.host}:{self.port}/{quote(self.vhost, safe='')}"
