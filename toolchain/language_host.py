"""Runs Python programs for the Pulumi engine where the official language host is missing.

The engine starts `pulumi-language-python ENGINE_ADDRESS`, reads a port from the first line of
standard output and speaks the LanguageRuntime service (pulumi.runtime.proto.language_pb2).
"""

import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
import threading
import types
from collections.abc import Iterator
from concurrent import futures
from importlib import metadata
from pathlib import Path

import grpc
from google.protobuf import empty_pb2


def without_sdk() -> None:
    """Let `pulumi.runtime.proto` be imported without the SDK around it.

    The engine starts this host four times a command; the whole SDK takes 0.46 s to import, the
    protocol 0.18 s (medians of 3 on 2 cores).
    """
    found = importlib.util.find_spec("pulumi")
    if found is None or found.submodule_search_locations is None:
        raise SystemExit("the pulumi package is not installed; run ./lab doctor")
    folder = Path(found.submodule_search_locations[0])
    for name, path in (("pulumi", folder), ("pulumi.runtime", folder / "runtime")):
        sys.modules[name] = package = types.ModuleType(name)
        package.__path__ = [str(path)]


if __name__ == "__main__":
    without_sdk()

from pulumi.runtime.proto import (  # noqa: E402 - the call above is what makes it quick
    language_pb2,
    language_pb2_grpc,
    plugin_pb2,
)

EXEC_SCRIPT = "pulumi-language-python-exec"
# The script's exit code for an error that it has printed in full (its own source says 32).
SHOWN_TO_USER = 32


def interpreter(info: language_pb2.ProgramInfo) -> Path:
    """The Python of the project's `virtualenv` option, else the one that runs this host."""
    named = dict(info.options).get("virtualenv")
    if isinstance(named, str) and named:
        python = Path(info.root_directory, named, "bin", "python")
        if python.exists():
            return python
    return Path(sys.executable)


def provider_packages(python: Path) -> Iterator[plugin_pb2.PackageDependency]:
    """The providers that the installed SDK packages declare in their pulumi-plugin.json."""
    for declaration in sorted(
        python.parent.parent.glob("lib/*/site-packages/*/pulumi-plugin.json")
    ):
        plugin = json.loads(declaration.read_text())
        if plugin.get("resource"):
            yield plugin_pb2.PackageDependency(
                name=plugin["name"],
                kind="resource",
                version=f"v{str(plugin['version']).removeprefix('v')}",
                server=plugin.get("server", ""),
            )


class PythonHost(language_pb2_grpc.LanguageRuntimeServicer):
    """The calls that the engine makes while it runs a program."""

    def __init__(self, engine: str) -> None:
        self.engine = engine
        self.programs: set[subprocess.Popen[bytes]] = set()

    def Handshake(
        self, request: language_pb2.LanguageHandshakeRequest, context: grpc.ServicerContext
    ) -> language_pb2.LanguageHandshakeResponse:
        self.engine = request.engine_address
        return language_pb2.LanguageHandshakeResponse()

    def GetPluginInfo(
        self, request: empty_pb2.Empty, context: grpc.ServicerContext
    ) -> plugin_pb2.PluginInfo:
        return plugin_pb2.PluginInfo(version=metadata.version("pulumi"))

    def GetRequiredPlugins(
        self, request: language_pb2.GetRequiredPluginsRequest, context: grpc.ServicerContext
    ) -> language_pb2.GetRequiredPluginsResponse:
        return language_pb2.GetRequiredPluginsResponse()  # see GetRequiredPackages

    def GetRequiredPackages(
        self, request: language_pb2.GetRequiredPackagesRequest, context: grpc.ServicerContext
    ) -> language_pb2.GetRequiredPackagesResponse:
        return language_pb2.GetRequiredPackagesResponse(
            packages=provider_packages(interpreter(request.info))
        )

    def InstallDependencies(
        self, request: language_pb2.InstallDependenciesRequest, context: grpc.ServicerContext
    ) -> Iterator[language_pb2.InstallDependenciesResponse]:
        text = "`./lab doctor` sets up and checks .venv; nothing to install here\n"
        yield language_pb2.InstallDependenciesResponse(stdout=text.encode())

    def RuntimeOptionsPrompts(
        self, request: language_pb2.RuntimeOptionsRequest, context: grpc.ServicerContext
    ) -> language_pb2.RuntimeOptionsResponse:
        return language_pb2.RuntimeOptionsResponse()

    def About(
        self, request: language_pb2.AboutRequest, context: grpc.ServicerContext
    ) -> language_pb2.AboutResponse:
        python = interpreter(request.info)
        return language_pb2.AboutResponse(executable=str(python), version=platform.python_version())

    def GetProgramDependencies(
        self, request: language_pb2.GetProgramDependenciesRequest, context: grpc.ServicerContext
    ) -> language_pb2.GetProgramDependenciesResponse:
        installed = sorted({(d.name, d.version) for d in metadata.distributions()})
        return language_pb2.GetProgramDependenciesResponse(
            dependencies=[
                language_pb2.DependencyInfo(name=name, version=version)
                for name, version in installed
            ]
        )

    def Run(
        self, request: language_pb2.RunRequest, context: grpc.ServicerContext
    ) -> language_pb2.RunResponse:
        script = shutil.which(EXEC_SCRIPT)
        if script is None:
            text = f'{EXEC_SCRIPT} is not on PATH: eval "$(./lab env dev)"'
            return language_pb2.RunResponse(error=text)
        options = {
            "project": request.project,
            "stack": request.stack,
            "organization": request.organization,
            "monitor": request.monitor_address,
            "engine": self.engine,
            "parallel": str(request.parallel),
            "dry_run": str(request.dryRun).lower(),
            "root_directory": request.info.root_directory,
            "pwd": request.pwd,
        }
        program = Path(request.info.program_directory, request.info.entry_point)
        process = subprocess.Popen(
            [
                str(interpreter(request.info)),
                "-u",  # the program's own output appears while it runs
                script,
                *(part for name, value in options.items() for part in (f"--{name}", value)),
                str(program),
                *request.args,
            ],
            env={
                **os.environ,
                "PULUMI_CONFIG": json.dumps(dict(request.config)),
                "PULUMI_CONFIG_SECRET_KEYS": json.dumps(list(request.configSecretKeys)),
            },
            cwd=request.pwd,
            stdin=subprocess.DEVNULL,
        )
        self.programs.add(process)
        context.add_callback(process.kill)  # the engine gave up on this call
        code = process.wait()
        self.programs.discard(process)
        if code == SHOWN_TO_USER:
            return language_pb2.RunResponse(bail=True)
        return language_pb2.RunResponse(
            error=f"the program ended with exit code {code}" if code else ""
        )

    def Cancel(self, request: empty_pb2.Empty, context: grpc.ServicerContext) -> empty_pb2.Empty:
        self.stop()
        return empty_pb2.Empty()

    def stop(self) -> None:
        """End the programs that still run."""
        for process in tuple(self.programs):
            process.kill()


def main() -> None:
    """Serve until the engine ends this process, or has died itself."""
    engine = os.getppid()
    host = PythonHost(sys.argv[-1])
    server = grpc.server(futures.ThreadPoolExecutor())
    language_pb2_grpc.add_LanguageRuntimeServicer_to_server(host, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    ended = threading.Event()
    try:
        # A killed engine cannot end its plugins; without a look they stay for ever.
        while os.getppid() == engine and not ended.wait(1):
            pass
    except KeyboardInterrupt:  # the engine's way to end a plugin
        pass
    host.stop()
    server.stop(grace=None)


if __name__ == "__main__":
    main()
