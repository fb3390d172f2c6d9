"""A node for pulumi-proxmoxve's real provider: fakepve, which answers as PVE's API does.

It keeps guests, volumes and tasks, and checks parameters and permissions by PVE's own schema. Where
it falls short of PVE, Node goes the rest of the way.
"""

import asyncio
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fakepve import FakePve, schema, settle  # type: ignore[import-untyped]
from fakepve.certs import make_cert  # type: ignore[import-untyped]
from fakepve.routing import die  # type: ignore[import-untyped]

from cli.commands.doctor.privileges import needed
from rehearsal.terraform import Source
from settings.machines import Machine
from settings.target import ProxmoxTarget

SOURCE = Source(
    name="proxmox",
    module=Path(__file__).parents[1] / "fixtures" / "proxmox",
    package="github.com/bpg/terraform-provider-proxmox",
)
TYPES = {
    "proxmoxve:download/file:File": "proxmox_download_file",
    "proxmoxve:hardware/mapping/pci:Pci": "proxmox_hardware_mapping_pci",
    "proxmoxve:index/containerLegacy:ContainerLegacy": "proxmox_virtual_environment_container",
    "proxmoxve:index/vmLegacy:VmLegacy": "proxmox_virtual_environment_vm",
}
GIB = 1 << 30
IMAGE_GIB = 4
MAPPINGS = "/cluster/mapping/pci"
DIRECTORY = {"type": "dir", "path": "/var/lib/vz"}
THIN_POOL = {"type": "lvmthin", "vgname": "pve", "thinpool": "data"}
IMPORT = re.compile(r"(?:^|,)import-from=([^,]+)")
SIZE = re.compile(r",size=(\d+)G")
# What a running VM takes at once, by vmconfig_hotplug_pending of qemu-server 9.2.6
# (PVE/QemuServer.pm): vmconfig_update_net plugs a network device again for another VLAN or bridge
# and unplugs it before for another MTU; $fast_plug_option has all of cloud-init.
NETWORK = re.compile(r"net\d+")
CLOUD_INIT = re.compile(
    r"ipconfig\d+|nameserver|searchdomain|sshkeys|ci(custom|password|type|user)"
)
HOTPLUG = "network,disk,usb"  # PVE's default of the option
START_S = 30


class Node(FakePve):  # type: ignore[misc]
    """A node called as the settings say, with its storages, and one API token that may do what
    `./lab doctor` asks for and nothing else."""

    def __init__(self, node: ProxmoxTarget, guests: Iterable[Machine], token: str) -> None:
        super().__init__(host="127.0.0.1", port=0)
        self.time_scale = 0
        self.node = node
        self.mappings: dict[str, dict[str, Any]] = {}
        # Called with the number of a machine that was made, before the client hears of it.
        self.on_create: Callable[[int], None] | None = None
        self.nodes.clear()
        self.add_node(node.node)
        self.storages.clear()
        for name, storage in node.storages.items():
            self.storages[name] = {
                **(DIRECTORY if "vztmpl" in storage.content else THIN_POOL),
                "content": ",".join(storage.content),
                "active": 1,
                "files": set(),
                "avail": storage.capacity_gib * GIB,
            }
        identity, _, secret = token.partition("=")
        self.apitokens[identity] = secret
        for path, names in needed(node, guests, 9).items():
            self.grant(identity, path, *names.split())

    def allowed(self, user: str, path: str, priv: str) -> bool:
        """The schema lets who may use the node's network download, not only who may change it."""
        network = (f"/nodes/{self.node.node}", "Sys.AccessNetwork")
        downloads = (path, priv) == ("/", "Sys.Modify") and super().allowed(user, *network)
        return bool(downloads or super().allowed(user, path, priv))

    def _build_app(self) -> Any:
        """PVE does not mind a slash at a path's end, which bpg's provider puts there."""
        app = super()._build_app()
        for route in list(app.router.routes()):
            path = route.resource.canonical
            if "/qemu/{vmid}" in path or "/lxc/{vmid}" in path:
                app.router.add_route(route.method, f"{path}/", route.handler)
        return app

    async def _qm_create(self, v: Mapping[str, Any], user: str) -> Any:
        return self._made(v, await super()._qm_create(v, user))

    async def _lxc_create(self, user: str, v: Mapping[str, Any]) -> Any:
        return self._made(v, await super()._lxc_create(user, v))

    def _made(self, values: Mapping[str, Any], answer: Any) -> Any:
        if self.on_create:
            self.on_create(int(values["vmid"]))
        return answer

    async def _apply_config(self, vm: Any, user: str, p: Mapping[str, Any]) -> None:
        """Numbers are numbers afterwards too, as they are where a machine is made, and what PVE
        plugs while the machine runs does not wait for its next start."""
        method = schema.load().paths["/nodes/{node}/qemu/{vmid}/config"]["PUT"]
        given = {**p, "node": vm.node, "vmid": vm.vmid}
        values, _ = schema.validate(method["parameters"], given)
        await super()._apply_config(vm, user, {name: values[name] for name in p})
        network = "network" in str(vm.config.get("hotplug", HOTPLUG))
        for name in [*vm.pending]:
            if CLOUD_INIT.fullmatch(name) or (network and NETWORK.fullmatch(name)):
                value = vm.pending.pop(name)
                vm.config[name] = value
                if value is None:
                    del vm.config[name]

    def _qm_new_drive(self, vmid: int, key: str, value: str, default: str) -> Any:
        """An imported disk has the size of its image, whatever size is asked for."""
        source = IMPORT.search(value)
        if ":cloudinit" in value:
            return self._cloud_init(vmid, super()._qm_new_drive(vmid, key, value, default))
        if source is None:
            return super()._qm_new_drive(vmid, key, value, default)
        storage, _, name = source[1].partition(":")
        if name not in self._volumes(storage):
            raise die(f"volume {source[1]} does not exist")
        target, *options = value.split(",")
        kept = [part for part in options if not part.startswith(("import-from=", "size="))]
        place = target.removeprefix("file=").partition(":")[0]
        new = ",".join([f"{place}:{IMAGE_GIB}", *kept])
        return super()._qm_new_drive(vmid, key, new, default)

    def _cloud_init(self, vmid: int, made: tuple[str, list[str]]) -> tuple[str, list[str]]:
        """PVE calls the drive by what it is, and clients know it by that."""
        value, (volume,) = made
        storage, _, name = volume.partition(":")
        own = f"vm-{vmid}-cloudinit"
        volumes = self.storages[storage]["volumes"]
        volumes[own] = volumes.pop(name)
        return value.replace(name, own), [f"{storage}:{own}"]

    def _routes_disks(self) -> list[Any]:
        return [("PUT", "/nodes/{node}/qemu/{vmid}/resize", self._resize)]

    async def _resize(self, values: Mapping[str, Any], user: str) -> Any:
        machine = self.find(values["node"], values["vmid"])
        disk = machine.config[values["disk"]]
        before, after = int(SIZE.search(disk)[1]) * GIB, int(values["size"])  # type: ignore[index]
        if after < before:
            raise die("shrinking disks is not supported")

        async def grow() -> None:
            machine.config[values["disk"]] = SIZE.sub(f",size={after // GIB}G", disk)

        return await self.task(values["node"], "resize", values["vmid"], user, grow)

    def _routes_mappings(self) -> list[Any]:
        return [
            ("POST", MAPPINGS, self._map),
            ("GET", f"{MAPPINGS}/{{id}}", self._mapping),
            ("PUT", f"{MAPPINGS}/{{id}}", self._map),
            ("DELETE", f"{MAPPINGS}/{{id}}", self._unmap),
        ]

    async def _map(self, values: Mapping[str, Any], user: str) -> None:
        self.mappings[values["id"]] = {**self.mappings.get(values["id"], {}), **values}

    async def _mapping(self, values: Mapping[str, Any], user: str) -> Any:
        if values["id"] not in self.mappings:
            raise die(f"mapping '{values['id']}' not found")
        return self.mappings[values["id"]]

    async def _unmap(self, values: Mapping[str, Any], user: str) -> None:
        del self.mappings[values["id"]]


_validate = schema.validate


def lenient(spec: Mapping[str, Any], values: Mapping[str, Any]) -> Any:
    """PVE takes a repeated parameter for a list where the schema has a string of a -list format
    (pve-common, RESTHandler.pm: to be kept until PVE 10); bpg's provider deletes so."""
    properties = (spec or {}).get("properties", {})

    def joined(name: str, value: Any) -> Any:
        listed = str(properties.get(name, {}).get("format", "")).endswith("-list")
        return ",".join(value) if listed and isinstance(value, list) else value

    return _validate(spec, {name: joined(name, value) for name, value in values.items()})


@contextmanager
def served(node: Node, folder: Path) -> Iterator[Path]:
    """Serve a node until the block ends; yields the certificate that a client has to trust."""
    certificate, key, _ = make_cert(str(folder), hosts=(node.host,))
    loop = asyncio.new_event_loop()

    def wait(work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, loop).result(START_S)

    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    schema.validate = lenient
    try:
        wait(node.start(certificate, key))
        yield Path(certificate)
    finally:
        schema.validate = _validate
        wait(settle())
        wait(node.stop())
        loop.call_soon_threadsafe(loop.stop)
        thread.join(START_S)
        loop.close()
