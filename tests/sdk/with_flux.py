#!/usr/bin/env python3
"""Runs commands beside a Flux and a strict mock provider, and takes both away again.

    with_flux.py FLUX_BIN CONF_DIR -- COMMAND [ARGUMENT...] [-- COMMAND ...]

The commands find FLUX_URL, FLUX_KEY, FLUX_TEST_KEY, FLUX_ADMIN_KEY (of an account of its own) and PROVIDER_URL in their
environment. The exit code is 1 when a
command failed or the provider got what no provider should get. It must not know any SDK: only sockets and processes.
"""

import json
import os
import subprocess
import sys
import tempfile
import time

import mock_provider

READY_SECONDS_MAX = 60


def start_flux(binary, conf, data, provider_url):
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_API_KEY")}
    environment |= {
        "FLUX_SERVER__LISTEN": "127.0.0.1:0",
        "FLUX_SERVER__PRIVATE_LISTEN": "127.0.0.1:0",
        "FLUX_SERVER__DATA_DIR": data,
        "FLUX_PROVIDERS__OPENAI__BASE_URL": provider_url + "/openai/v1",
        "FLUX_PROVIDERS__OPENAI__API_KEY": mock_provider.OPENAI_KEY,
        "FLUX_PROVIDERS__GROQ__BASE_URL": provider_url + "/groq/v1",
        "FLUX_PROVIDERS__GROQ__API_KEY": mock_provider.OPENAI_KEY,
        "FLUX_PROVIDERS__MISTRAL__BASE_URL": provider_url + "/mistral/v1",
        "FLUX_PROVIDERS__MISTRAL__API_KEY": mock_provider.OPENAI_KEY,
        "FLUX_PROVIDERS__GOOGLE__BASE_URL": provider_url + "/google/v1beta",
        "FLUX_PROVIDERS__GOOGLE__API_KEY": mock_provider.GOOGLE_KEY,
        "FLUX_PROVIDERS__ANTHROPIC__BASE_URL": provider_url + "/anthropic/v1",
        "FLUX_PROVIDERS__ANTHROPIC__API_KEY": mock_provider.ANTHROPIC_KEY,
        # The provider fails on request: what one test asks for must not turn the next one away.
        "FLUX_HEALTH__PASSES_OVER": "false",
        "FLUX_HEALTH__RETRIES_MAX": "0",
    }
    log = open(os.path.join(data, "log"), "wb")
    command = [binary, "serve", "--config", conf]
    return subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def url_of(flux, data):
    """Waits for the address that Flux writes when it listens."""
    end = time.monotonic() + READY_SECONDS_MAX
    while time.monotonic() < end:
        if flux.poll() is not None:
            break
        try:
            with open(os.path.join(data, "addresses.json")) as file:
                return "http://" + json.load(file)["listen"]
        except (OSError, ValueError, KeyError):
            time.sleep(0.02)
    sys.exit("flux did not start:\n" + log_of(data))


def log_of(data):
    with open(os.path.join(data, "log"), errors="replace") as file:
        return file.read()


def make_key(binary, data, *options):
    made = subprocess.run([binary, "keys", "create", "--json", "--data-dir", data, *options], check=True, capture_output=True)
    return json.loads(made.stdout)["key"]


def commands_of(arguments):
    """The commands between the double dashes."""
    commands = []
    for argument in arguments:
        if argument == "--":
            commands.append([])
        else:
            commands[-1].append(argument)
    return commands


def run(binary, conf, commands):
    provider = mock_provider.start()
    with tempfile.TemporaryDirectory() as data:
        flux = start_flux(binary, conf, data, provider.url)
        try:
            environment = os.environ | {"FLUX_URL": url_of(flux, data), "PROVIDER_URL": provider.url}
            environment["FLUX_KEY"] = make_key(binary, data)
            environment["FLUX_ADMIN_KEY"] = make_key(binary, data, "--account", "api", "--scope", "admin")
            environment["FLUX_TEST_KEY"] = make_key(binary, data, "--test")
            # A running Flux takes new keys within a second; the first request of each client must not race with it.
            wait_for_key(environment["FLUX_URL"], environment["FLUX_TEST_KEY"])
            failed = [command for command in commands if subprocess.run(command, env=environment).returncode != 0]
        finally:
            flux.terminate()
            try:
                flux.wait(10)
            except subprocess.TimeoutExpired:
                flux.kill()
                flux.wait()
        if failed:
            print("--- the end of flux's log\n" + log_of(data)[-4000:], file=sys.stderr)
    for fault in provider.faults:
        print("fault found by the provider:", fault, file=sys.stderr)
    return 1 if failed or provider.faults else 0


def wait_for_key(url, key):
    import http.client

    end = time.monotonic() + READY_SECONDS_MAX
    while time.monotonic() < end:
        connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=10)
        connection.request("GET", "/v1/models", headers={"authorization": f"Bearer {key}"})
        if connection.getresponse().status == 200:
            return
        time.sleep(0.02)
    sys.exit("a new key did not work in time")


if __name__ == "__main__":
    if len(sys.argv) < 5 or sys.argv[3] != "--":
        sys.exit(__doc__)
    sys.exit(run(sys.argv[1], sys.argv[2], commands_of(sys.argv[3:])))
