"""API keys, apart from all else that is configured."""

from pydantic import BaseModel, ConfigDict

from shared.config.values import Secret


class VenueKeys(BaseModel):
    """API keys of one venue; they go to ccxt and nowhere else."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    apiKey: Secret = None  # ccxt's spelling, and the key file's
    secret: Secret = None
    password: Secret = None  # the passphrase that bitget and others ask for

    def credentials(self) -> dict[str, str]:
        fields = {"apiKey": self.apiKey, "secret": self.secret, "password": self.password}
        return {name: value.get_secret_value() for name, value in fields.items() if value}

    def over(self, others: "VenueKeys") -> "VenueKeys":
        """These, and where one is missing the other."""
        return VenueKeys(
            apiKey=self.apiKey or others.apiKey,
            secret=self.secret or others.secret,
            password=self.password or others.password,
        )
