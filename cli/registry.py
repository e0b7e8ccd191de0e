"""`fleet registry`: what to do when the broker has lost the registry's log."""

import os
import sys
from pathlib import Path
from typing import NoReturn

from cli.endpoints import read_endpoints
from cli.place import ROOT, Place


def run_registry(place: Place, action: str) -> NoReturn:
    """Become the coordinator's own command, for the fleet that runs here, else for config.json's.

    `restore` writes this host's mirror into the empty log; `reset` forgets the mirror, so that
    the configuration seeds a new registry; `accept` goes on without what a later version wrote.
    """
    running = read_endpoints(place.endpoints)
    demo = running is not None and running.kind == "demo"
    config = Path(running.config) if running is not None else place.config_path
    home = config.parent if demo else place.home
    environment = os.environ | {"FLEET_CONFIG": str(config), "FLEET_HOME": str(home)}
    if running is not None:
        environment |= {"AMQP_URL": running.amqp_url}
    os.chdir(ROOT)
    os.execve(sys.executable, [sys.executable, "-m", "coordinator", action], environment)
