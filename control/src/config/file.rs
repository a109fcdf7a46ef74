//! The file as it is written: one struct a table, one line a key, every value typed and still at its place.

mod attachments;
mod offload;
mod policy;
mod rates;

use std::net::IpAddr;
use std::time::Duration;

use podlane_api::PortKind;
use toml::Spanned;
use toml::de::DeTable;

use super::defaults;
use super::mistake::Findings;
use super::table::{At, Entry, Table};
use super::value::{FilePath, SocketPath, UdpPort, WrittenPrefix};
use crate::desired::{
    Daemon, DeviceName, Emulated, Encapsulation, Fault, FloodLimit, FlowTable, FrameBytes, FrameCount, Gateway,
    MacAddr, Mode, Mtu, Name, Offload, Policy, Poll, Queues, RingSize, Sharing, VlanId, Vni, WakeLatency, Xdp,
};

pub(super) use attachments::{AttachmentsTable, SupplyKeys};
pub(super) use policy::PodKeys;
pub(super) use rates::{BandwidthKeys, RateKeys};

/// The whole file.
pub(super) struct File {
    pub(super) daemon: Daemon,
    pub(super) workers: WorkersTable,
    pub(super) flows: FlowTable,
    pub(super) emulated: Emulated,
    pub(super) policy: Option<Policy>,
    /// False where `[policy]` is not there for a mistake that is told.
    pub(super) is_policy_sound: bool,
    pub(super) attachments: Option<AttachmentsTable>,
    /// False where `[attachments]` is not there for a mistake that is told.
    pub(super) are_attachments_sound: bool,
    pub(super) networks: Vec<NetworkTable>,
    pub(super) ports: Vec<PortTable>,
    pub(super) routes: Vec<RouteTable>,
    pub(super) underlay: Option<UnderlayTable>,
    /// False where `[underlay]` is not there for a mistake that is told.
    pub(super) is_underlay_sound: bool,
    pub(super) peers: Vec<PeerTable>,
    pub(super) endpoints: Vec<EndpointTable>,
}

/// `[workers]`
pub(super) struct WorkersTable {
    pub(super) subject: String,
    pub(super) cores: Entry<Vec<At<usize>>>,
    pub(super) poll: Poll,
    pub(super) wake_latency: Option<WakeLatency>,
    pub(super) frames: At<FrameCount>,
    pub(super) frame_bytes: FrameBytes,
}

/// `[[network]]`
pub(super) struct NetworkTable {
    pub(super) subject: String,
    pub(super) name: Entry<Name>,
    pub(super) gateways: Vec<At<Gateway>>,
    pub(super) gateway_mac: Entry<MacAddr>,
    pub(super) vrf: Entry<Name>,
    pub(super) mtu: Entry<Mtu>,
    pub(super) learning: bool,
    pub(super) mac_age: Duration,
    pub(super) flood_limit: FloodLimit,
    /// Refused also where it is misspelt.
    pub(super) vni: Entry<Vni>,
    pub(super) peers: Entry<Vec<At<Name>>>,
    pub(super) are_peers_sound: bool,
    pub(super) flood: Entry<bool>,
    pub(super) replication_limit: Entry<FloodLimit>,
    pub(super) supply: SupplyKeys,
    pub(super) offload: Offload,
}

/// `[[port]]`
pub(super) struct PortTable {
    pub(super) subject: String,
    pub(super) at: usize,
    pub(super) name: Entry<Name>,
    pub(super) kind: PortKind,
    /// False where the kind is the default's for a mistake that is told.
    pub(super) is_kind_sound: bool,
    pub(super) device: DeviceKeys,
    pub(super) replay: ReplayKeys,
    pub(super) network: Entry<Name>,
    pub(super) vlans: Entry<Vec<(At<VlanId>, At<Name>)>>,
    pub(super) mac: Entry<MacAddr>,
    pub(super) addresses: Vec<At<IpAddr>>,
    pub(super) generation: u64,
    pub(super) pod: PodKeys,
    pub(super) rates: RateKeys,
    pub(super) offload: Option<Offload>,
    pub(super) fault: Option<Fault>,
}

/// The keys of a port that has a device.
pub(super) struct DeviceKeys {
    pub(super) device: Entry<DeviceName>,
    pub(super) netns: Entry<FilePath>,
    pub(super) sharing: Entry<Sharing>,
    pub(super) queues: Entry<Queues>,
    pub(super) mode: Entry<Mode>,
    pub(super) xdp: Entry<Xdp>,
    pub(super) checksum_offload: Entry<bool>,
    pub(super) ring: Entry<RingSize>,
}

/// The keys of a port that replays.
pub(super) struct ReplayKeys {
    pub(super) input: Entry<FilePath>,
    pub(super) output: Entry<FilePath>,
}

/// `[[route]]`
pub(super) struct RouteTable {
    pub(super) subject: String,
    pub(super) at: usize,
    pub(super) network: Entry<Name>,
    pub(super) vrf: Entry<Name>,
    pub(super) prefix: Entry<WrittenPrefix>,
    pub(super) via: Entry<IpAddr>,
    pub(super) discard: Entry<bool>,
}

/// `[underlay]`
pub(super) struct UnderlayTable {
    pub(super) subject: String,
    pub(super) vteps: Entry<Vec<At<Gateway>>>,
    pub(super) are_vteps_sound: bool,
    pub(super) uplinks: Entry<Vec<At<Name>>>,
    pub(super) are_uplinks_sound: bool,
    pub(super) vlan: Option<VlanId>,
    pub(super) encapsulation: Encapsulation,
    pub(super) udp_port: Option<UdpPort>,
    pub(super) udp_checksum: Option<bool>,
    pub(super) clamp_mss: bool,
    pub(super) routes: Vec<UnderlayRouteTable>,
}

/// `[[underlay.routes]]`
pub(super) struct UnderlayRouteTable {
    pub(super) subject: String,
    pub(super) prefix: Entry<WrittenPrefix>,
    pub(super) via: Entry<Vec<At<IpAddr>>>,
}

/// `[[peer]]`
pub(super) struct PeerTable {
    pub(super) subject: String,
    pub(super) at: usize,
    pub(super) name: Entry<Name>,
    pub(super) vtep: Entry<IpAddr>,
}

/// `[[endpoint]]`
pub(super) struct EndpointTable {
    pub(super) subject: String,
    pub(super) at: usize,
    pub(super) network: Entry<Name>,
    pub(super) mac: Entry<MacAddr>,
    pub(super) addresses: Vec<At<IpAddr>>,
    pub(super) peer: Entry<Name>,
    pub(super) generation: u64,
}

/// Reads the document; what cannot be read becomes findings.
pub(super) fn read<'a>(document: &'a Spanned<DeTable<'a>>, findings: &'a Findings<'a>) -> File {
    let root = Table::root(document, findings);
    let mut file = File {
        daemon: daemon(&root),
        workers: workers(&root),
        flows: flows(&root),
        emulated: offload::emulated(&root),
        policy: root.table("policy").map(policy::policy),
        is_policy_sound: true,
        attachments: root.table("attachments").map(AttachmentsTable::of),
        are_attachments_sound: true,
        networks: root.tables("network").into_iter().map(network).collect(),
        ports: root.tables("port").into_iter().map(port).collect(),
        routes: root.tables("route").into_iter().map(route).collect(),
        underlay: root.table("underlay").map(underlay),
        is_underlay_sound: true,
        peers: root.tables("peer").into_iter().map(peer).collect(),
        endpoints: root.tables("endpoint").into_iter().map(endpoint).collect(),
    };
    file.is_underlay_sound = root.is_sound("underlay");
    file.is_policy_sound = root.is_sound("policy");
    file.are_attachments_sound = root.is_sound("attachments");
    root.end();
    file
}

fn daemon(root: &Table<'_>) -> Daemon {
    let table = root.section("daemon");
    let daemon = Daemon {
        socket: table.get_or("socket", SocketPath(defaults::SOCKET.into())).value.0,
        pin: table.get_or("pin", defaults::PIN).value,
        instance: table.get_or("instance", Name::default()).value,
    };
    table.end();
    daemon
}

fn workers(root: &Table<'_>) -> WorkersTable {
    let table = root.section("workers");
    let workers = WorkersTable {
        subject: table.subject().to_owned(),
        cores: table.need_list("cores"),
        poll: table.get_or("poll", defaults::POLL).value,
        wake_latency: table.get("wake_latency_us").into_value(),
        frames: table.get_or("frames", defaults::FRAMES),
        frame_bytes: table.get_or("frame_bytes", defaults::FRAME_BYTES).value,
    };
    table.end();
    workers
}

fn flows(root: &Table<'_>) -> FlowTable {
    let table = root.section("flows");
    let flows = FlowTable {
        capacity: table.get_or("capacity", defaults::FLOW_CAPACITY).value,
        idle: table.get_or("idle", defaults::FLOW_IDLE).value,
    };
    table.end();
    flows
}

fn network(table: Table<'_>) -> NetworkTable {
    let mut network = NetworkTable {
        subject: table.subject().to_owned(),
        name: table.need("name"),
        gateways: table.list("gateways").into_value().unwrap_or_default(),
        gateway_mac: table.get("gateway_mac"),
        vrf: table.get("vrf"),
        mtu: table.get("mtu"),
        learning: table.get_or("learning", defaults::LEARNING).value,
        mac_age: table.get_or("mac_age", defaults::MAC_AGE).value,
        flood_limit: table.get_or("flood_limit", defaults::FLOOD_LIMIT).value,
        vni: table.get("vni"),
        peers: table.list("peers"),
        are_peers_sound: true,
        flood: table.get("flood"),
        replication_limit: table.get("replication_limit"),
        supply: SupplyKeys::of(&table),
        offload: table.get_or("offload", defaults::OFFLOAD).value,
    };
    network.are_peers_sound = table.is_sound("peers");
    if !table.is_sound("vni") {
        network.vni = Entry::Refused;
    }
    table.end();
    network
}

fn port(table: Table<'_>) -> PortTable {
    let name = table.need("name");
    let kind = table.get_or("kind", defaults::PORT_KIND).value;
    let mut port = PortTable {
        subject: table.subject().to_owned(),
        at: table.at(),
        name,
        kind,
        is_kind_sound: true,
        device: DeviceKeys {
            device: match kind {
                PortKind::Pod | PortKind::Uplink => table.need("device"),
                PortKind::Replay => table.get("device"),
            },
            netns: table.get("netns"),
            sharing: table.get("sharing"),
            queues: table.get("queues"),
            mode: table.get("mode"),
            xdp: table.get("xdp"),
            checksum_offload: table.get("checksum_offload"),
            ring: table.get("ring"),
        },
        replay: ReplayKeys { input: table.get("input"), output: table.get("output") },
        network: table.get("network"),
        vlans: table.map("vlans"),
        mac: table.get("mac"),
        addresses: table.list("addresses").into_value().unwrap_or_default(),
        generation: table.get_or("generation", defaults::GENERATION).value,
        pod: PodKeys::of(&table),
        rates: RateKeys::of(&table),
        offload: table.get("offload").into_value(),
        fault: table.table("fault").map(fault),
    };
    port.pod.is_pod_sound = table.is_sound("pod");
    port.rates.note(&table);
    port.is_kind_sound = table.is_sound("kind");
    table.end();
    port
}

fn fault(table: Table<'_>) -> Fault {
    let fault = Fault {
        drop: table.get_or("drop", defaults::FAULT_SHARE).value,
        reorder: table.get_or("reorder", defaults::FAULT_SHARE).value,
        corrupt: table.get_or("corrupt", defaults::FAULT_SHARE).value,
        seed: table.get_or("seed", defaults::FAULT_SEED).value,
    };
    table.end();
    fault
}

fn route(table: Table<'_>) -> RouteTable {
    let route = RouteTable {
        subject: table.subject().to_owned(),
        at: table.at(),
        network: table.get("network"),
        vrf: table.get("vrf"),
        prefix: table.need("prefix"),
        via: table.get("via"),
        discard: table.get("discard"),
    };
    table.end();
    route
}

fn underlay(table: Table<'_>) -> UnderlayTable {
    let mut underlay = UnderlayTable {
        subject: table.subject().to_owned(),
        vteps: table.need_list("vteps"),
        are_vteps_sound: true,
        uplinks: table.need_list("uplinks"),
        are_uplinks_sound: true,
        vlan: table.get("vlan").into_value(),
        encapsulation: table.get_or("encapsulation", defaults::ENCAPSULATION).value,
        udp_port: table.get("udp_port").into_value(),
        udp_checksum: table.get("udp_checksum").into_value(),
        clamp_mss: table.get_or("clamp_mss", defaults::CLAMP_MSS).value,
        routes: table.tables("routes").into_iter().map(underlay_route).collect(),
    };
    underlay.are_vteps_sound = underlay.vteps.given().is_some() && table.is_sound("vteps");
    underlay.are_uplinks_sound = underlay.uplinks.given().is_some() && table.is_sound("uplinks");
    table.end();
    underlay
}

fn underlay_route(table: Table<'_>) -> UnderlayRouteTable {
    let route = UnderlayRouteTable {
        subject: table.subject().to_owned(),
        prefix: table.need("prefix"),
        via: table.need_list("via"),
    };
    table.end();
    route
}

fn peer(table: Table<'_>) -> PeerTable {
    let peer = PeerTable {
        subject: table.subject().to_owned(),
        at: table.at(),
        name: table.need("name"),
        vtep: table.need("vtep"),
    };
    table.end();
    peer
}

fn endpoint(table: Table<'_>) -> EndpointTable {
    let endpoint = EndpointTable {
        subject: table.subject().to_owned(),
        at: table.at(),
        network: table.need("network"),
        mac: table.need("mac"),
        addresses: table.list("addresses").into_value().unwrap_or_default(),
        peer: table.need("peer"),
        generation: table.get_or("generation", defaults::GENERATION).value,
    };
    table.end();
    endpoint
}
