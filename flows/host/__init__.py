# SPDX-License-Identifier: Apache-2.0
"""The driver: a board on a serial port, or a simulated one.

from flows.host import connect_device

with connect_device("/dev/ttyUSB0") as device:
    device.load(network)
    logits = device.run(features)
"""

from flows.host.device import Device, DeviceError, Identity
from flows.host.link import BusError, Link, LinkError
from flows.host.ports import Connection, connect, connect_device

__all__ = [
    "BusError",
    "Connection",
    "Device",
    "DeviceError",
    "Identity",
    "Link",
    "LinkError",
    "connect",
    "connect_device",
]
