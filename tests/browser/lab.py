"""A JupyterLab that knows nothing of its user's, for the browser tests and the benchmark."""

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

# The front end's own promises. To wait for the idle mark on the page loses about one run in three.
RUN_ALL = """async () => {
  const app = window.jupyterapp, pause = () => new Promise(done => setTimeout(done, 50));
  let panel, kernel;
  while (!(panel = app.shell.currentWidget)?.context || !panel.sessionContext) await pause();
  await panel.context.ready; await panel.revealed; await panel.sessionContext.ready;
  do { await pause(); kernel = panel.sessionContext.session?.kernel; }
  while (kernel?.status !== "idle" || kernel?.connectionStatus !== "connected");
  return app.commands.execute("notebook:run-all-cells");
}"""


@dataclass(frozen=True)
class Lab:
    """A running JupyterLab: where its notebooks lie, its port, the token that opens it."""

    root: Path
    port: int
    token: str

    def open(self, notebook):
        """Copy `notebook` to the server, end the kernels of others; return the copy's address."""
        shutil.copy(notebook, self.root)
        for session in json.load(self.ask("api/sessions")):
            self.ask(f"api/sessions/{session['id']}", "DELETE").close()
        return self.address(f"lab/tree/{notebook.name}") + "&reset"

    def ask(self, path, method="GET"):
        request = urllib.request.Request(self.address(path), method=method)
        return urllib.request.urlopen(request, timeout=30)

    def address(self, path):
        return f"http://127.0.0.1:{self.port}/{path}?token={self.token}"


@contextmanager
def serve(folder):
    """Start JupyterLab in the empty `folder`; yield the `Lab`."""
    home, root = folder / "home", folder / "root"
    root.mkdir()
    places = ("LAB_WORKSPACES_DIR", "LAB_SETTINGS_DIR", "_RUNTIME_DIR", "_CONFIG_DIR", "_DATA_DIR")
    own = {f"JUPYTER{place}": str(home / place.strip("_").lower()) for place in places}
    settings = home / "lab_settings_dir" / "@jupyterlab" / "apputils-extension"
    settings.mkdir(parents=True)
    (settings / "notification.jupyterlab-settings").write_text('{"fetchNews": "false"}')
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    token, log = secrets.token_hex(), home / "server.log"
    command = [
        *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1"),
        *(f"--port={port}", "--ServerApp.port_retries=0", f"--ServerApp.root_dir={root}"),
        *(f"--IdentityProvider.token={token}", "--LabApp.expose_app_in_browser=True"),
    ]
    with log.open("w") as output:
        server = subprocess.Popen(
            command, env={**os.environ, **own}, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        lab = Lab(root, port, token)
        await_server(server, lab.address("api/status"), log)
        yield lab
    finally:
        server.terminate()  # it shuts its kernels down
        server.wait(timeout=60)


def await_server(server, url, log, patience=120):
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline and server.poll() is None:
        try:
            return urllib.request.urlopen(url, timeout=5).close()
        except OSError:
            time.sleep(0.2)
    raise RuntimeError(f"JupyterLab did not start:\n{log.read_text()[-3000:]}")
