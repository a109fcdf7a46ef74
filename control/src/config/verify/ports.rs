//! Rules of `[[port]]`: what is behind it and which networks it is in.

use std::collections::BTreeMap;
use std::path::PathBuf;

use podlane_api::PortKind;

use super::pods::{Pods, inhabitant};
use super::underlay::Below;
use super::{First, Networks, named, rates};
use crate::config::defaults;
use crate::config::file::{DeviceKeys, PortTable, ReplayKeys};
use crate::config::mistake::{Findings, Mistake};
use crate::config::table::{At, Entry};
use crate::config::value::FilePath;
use crate::desired::{Behind, Device, DeviceName, Dhcp, Membership, Mode, Name, Port, Replay, Role, Xdp};

/// The most ports: one number is the switch's own.
const MOST: usize = podlane_dataplane::ids::MAX_PORTS - 1;

pub(super) fn verify(
    tables: Vec<PortTable>,
    (networks, below): (&Networks, &Below),
    findings: &Findings<'_>,
) -> BTreeMap<Name, Port> {
    if let Some(surplus) = tables.get(MOST) {
        let mistake = Mistake::TooMany { what: "port", count: tables.len(), most: MOST };
        findings.add(surplus.at, &surplus.subject, mistake);
    }
    let mut names = First::new();
    let mut taken = Taken { devices: First::new(), outputs: First::new() };
    let mut pods = Pods::new();
    let mut ports = BTreeMap::new();
    for table in tables {
        pods.check(&table, findings);
        let membership = membership(&table, networks, findings);
        belongs(&table, below, findings);
        if table.is_kind_sound {
            kind(&table, findings);
        }
        taken.note(&table, findings);
        let Some(name) = table.name.given().cloned() else {
            continue;
        };
        if let Some((at, ())) = names.note(name.value.clone(), name.at, ()) {
            let mistake = Mistake::DuplicateName { what: "a port", name: name.value, first: findings.line(at) };
            findings.add(name.at, &table.subject, mistake);
        } else if let Some(port) = port(table, membership, name.value.clone()) {
            ports.insert(name.value, port);
        }
    }
    ports
}

fn port(table: PortTable, membership: Membership, name: Name) -> Option<Port> {
    let behind = match table.kind {
        PortKind::Pod => Behind::Device(device(table.device, Role::Pod)?),
        PortKind::Uplink => Behind::Device(device(table.device, Role::Uplink)?),
        PortKind::Replay => {
            let ReplayKeys { input, output } = table.replay;
            let path = |entry: Entry<_>| entry.into_value().map(|FilePath(path)| path);
            Behind::Replay(Replay { input: path(input), output: path(output) })
        }
    };
    let mac = table.mac.into_value();
    let addresses = table.addresses.iter().map(|address| address.value).collect();
    let PortTable { generation, offload, fault, pod, rates, .. } = table;
    let node = pod.node.given().is_some_and(|node| node.value);
    let (pod, rates) = (inhabitant(pod), rates::of(rates));
    let dhcp = Dhcp::Unused;
    Some(Port { name, behind, membership, mac, addresses, generation, pod, node, dhcp, rates, offload, fault })
}

fn device(keys: DeviceKeys, role: Role) -> Option<Device> {
    Some(Device {
        name: keys.device.into_value()?,
        netns: keys.netns.into_value().map(|path| path.0),
        role,
        sharing: keys.sharing.into_value(),
        queues: keys.queues.into_value().unwrap_or(defaults::QUEUES),
        mode: keys.mode.into_value().unwrap_or(defaults::MODE),
        xdp: keys.xdp.into_value().unwrap_or(defaults::XDP),
        checksum_offload: keys.checksum_offload.into_value().unwrap_or(defaults::CHECKSUM_OFFLOAD),
        ring: keys.ring.into_value().unwrap_or(defaults::RING),
    })
}

/// Keys fit the kind; what the kind needs is there.
fn kind(table: &PortTable, findings: &Findings<'_>) {
    let DeviceKeys { device, netns, sharing, queues, mode, xdp, checksum_offload, ring } = &table.device;
    let of_device = [
        ("device", device.at()),
        ("netns", netns.at()),
        ("sharing", sharing.at()),
        ("queues", queues.at()),
        ("mode", mode.at()),
        ("xdp", xdp.at()),
        ("checksum_offload", checksum_offload.at()),
        ("ring", ring.at()),
    ];
    let ReplayKeys { input, output } = &table.replay;
    let of_replay = [("input", input.at()), ("output", output.at())];
    let replays = table.kind == PortKind::Replay;
    let foreign: &[(&'static str, Option<usize>)] = if replays { &of_device } else { &of_replay };
    for (key, at) in foreign {
        if let Some(at) = at {
            findings.add(*at, &table.subject, Mistake::NotForKind { key, kind: table.kind });
        }
    }
    if let (PortKind::Pod, Some(at)) = (table.kind, sharing.at()) {
        findings.add(at, &table.subject, Mistake::NotForKind { key: "sharing", kind: table.kind });
    }
    if replays && input.is_absent() && output.is_absent() {
        findings.add(table.at, &table.subject, Mistake::NoCapture);
    }
    if let (Some(Mode::ZeroCopy), Some(At { value: Xdp::Generic, at })) =
        (mode.given().map(|mode| mode.value), xdp.given())
    {
        findings.add(*at, &table.subject, Mistake::GenericZeroCopy);
    }
}

fn membership(table: &PortTable, networks: &Networks, findings: &Findings<'_>) -> Membership {
    let mut member = First::new();
    let mut join = |name: &At<Name>| {
        named(name, networks, &table.subject, findings)?;
        if let Some((at, ())) = member.note(name.value.clone(), name.at, ()) {
            let mistake = Mistake::NetworkTwice { network: name.value.clone(), first: findings.line(at) };
            findings.add(name.at, &table.subject, mistake);
        }
        Some(name.value.clone())
    };
    let untagged = table.network.given().and_then(&mut join);
    let vlans = table.vlans.given().map(|vlans| vlans.value.as_slice()).unwrap_or_default();
    let mut ids = First::new();
    let mut tagged = BTreeMap::new();
    for (vlan, name) in vlans {
        if let Some((at, ())) = ids.note(vlan.value, vlan.at, ()) {
            let mistake = Mistake::DuplicateVlan { vlan: vlan.value, first: findings.line(at) };
            findings.add(vlan.at, &table.subject, mistake);
        }
        if let Some(name) = join(name) {
            tagged.insert(vlan.value, name);
        }
    }
    Membership { untagged, tagged }
}

/// A port that is in no network leads nowhere, unless tunnels go by it; then it has no station of its own.
fn belongs(table: &PortTable, below: &Below, findings: &Findings<'_>) {
    let (name, listed) = (table.name.given(), &below.listed);
    let is_in = |uplinks: &[Name]| name.is_some_and(|name| uplinks.contains(&name.value));
    let is_uplink = below.underlay.as_ref().is_some_and(|underlay| is_in(&underlay.uplinks));
    // One that is listed and no uplink is told of in the list; one that a mistake may have kept out of it, with that mistake.
    let is_listed = name.is_some_and(|name| listed.names.contains(&name.value));
    let is_kept_out = listed.is_short && (table.kind == PortKind::Uplink || !table.is_kind_sound);
    let no_vlans = table.vlans.is_absent() || table.vlans.given().is_some_and(|vlans| vlans.value.is_empty());
    if table.network.is_absent() && no_vlans && !is_listed && !is_kept_out {
        findings.add(table.at, &table.subject, Mistake::NoNetwork);
    }
    let of_networks = [
        ("mac", table.mac.at()),
        ("addresses", table.addresses.first().map(|address| address.at)),
        ("sharing", table.device.sharing.at()),
    ];
    for (key, at) in of_networks.into_iter().filter(|_| is_uplink) {
        if let Some(at) = at {
            findings.add(at, &table.subject, Mistake::NotForUnderlay { key });
        }
    }
}

/// What only one port can have.
struct Taken {
    devices: First<(Option<PathBuf>, DeviceName), String>,
    outputs: First<PathBuf, String>,
}

impl Taken {
    fn note(&mut self, table: &PortTable, findings: &Findings<'_>) {
        if let Some(At { value: device, at }) = table.device.device.given() {
            let netns = table.device.netns.given().map(|netns| netns.value.0.clone());
            if let Some((first, port)) = self.devices.note((netns, device.clone()), *at, table.subject.clone()) {
                let mistake = Mistake::DeviceTwice { device: device.clone(), port, first: findings.line(first) };
                findings.add(*at, &table.subject, mistake);
            }
        }
        if let Some(At { value: FilePath(output), at }) = table.replay.output.given()
            && let Some((first, port)) = self.outputs.note(output.clone(), *at, table.subject.clone())
        {
            let mistake = Mistake::OutputTwice { file: output.clone(), port, first: findings.line(first) };
            findings.add(*at, &table.subject, mistake);
        }
    }
}
