//! Attaching: from an order to a port that is open and a record that says so.
//!
//! ```text
//!   order --> checked --> lease, record "making" --> on the disk --> link made -+-> pod's end furnished --+--> announced,
//!                              |                                                +-> switch's port opened -+    record "up" --> reply
//!                              +-- meanwhile: the pod's namespace entered
//! ```
//!
//! Nothing is made before the journal says that it may be there, so that whoever finds the record knows all that there can be of it.
//! When a step fails, what the record says is taken away, by the same code that a DEL and a restart use.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Builder, Scope, ScopedJoinHandle};

use podlane_host::{HostError, Links, NetnsError};
use podlane_journal::{Change, Pending, Table};

use super::book::{Held, Rival};
use super::delegate::{self, Delegated};
use super::error::{AttachError, OrderError};
use super::inner::{Inner, PATIENCE};
use super::pod_end::{self, PodEnd, PodNetns, furnish};
use super::port::port;
use super::record::{Record, journal_key, lease_owner};
use super::{
    Address, Addressing, Attachment, Dns, Interface, Kind, Order, Origin, Stage, host_device, names, taken, vhost_user,
};
use crate::desired::{Name, Port};

/// The plugin that speaks over the link: the port is open before it is run, for DHCP alone, and states what it gave before anybody is told.
const DHCP: &str = "dhcp";

impl Inner {
    /// Attaches.
    ///
    /// # Errors
    /// [`AttachError`]; nothing is left of it then.
    pub(super) fn attach(&self, order: Order) -> Result<Attachment, AttachError> {
        order.check()?;
        let held = self.hold(&order.key)?;
        let pod = order.netns.as_deref().map(|path| PodNetns::open(path, self.own)).transpose()?;
        if let Some(record) = held.record() {
            if record.attachment.stage == Stage::Up {
                return self.attached(&record, &order, pod.as_ref());
            }
            // What an attempt that failed could not take away.
            self.close(&record)?;
            self.clear(&held, &record)?;
        }
        let mut record = self.plan(order, pod.as_ref())?;
        let has_policy = self.engine.desired().policy.is_some();
        held.enter(&mut record, has_policy, PATIENCE).map_err(in_the_way)?;
        match self.make(&held, &mut record, pod.as_ref()) {
            Ok(()) => Ok(record.attachment),
            Err(error) => {
                self.undo(&held, &record);
                Err(error)
            }
        }
    }

    /// The same order again: the same attachment, if it is still there.
    fn attached(&self, record: &Record, order: &Order, pod: Option<&PodNetns>) -> Result<Attachment, AttachError> {
        let refused = |how| AttachError::Attached { key: order.key.clone(), how };
        if record.netns != pod.map(PodNetns::number) {
            return Err(refused("in another network namespace"));
        }
        let made = &record.attachment.order;
        if (&made.network, &made.kind) != (&order.network, &order.kind) {
            return Err(refused("to another network or in another way"));
        }
        let differences = self.differences(record, pod)?;
        if !differences.is_empty() {
            return Err(AttachError::Differs { key: order.key.clone(), differences });
        }
        Ok(record.attachment.clone())
    }

    /// What there will be, but for the addresses.
    fn plan(&self, order: Order, pod: Option<&PodNetns>) -> Result<Record, AttachError> {
        let mut host = Links::open().map_err(AttachError::host("the links of the host"))?;
        let mtu = self.mtu(&order)?;
        let port = self.free_name(&order, &mut host)?;
        let mac = order.mac.unwrap_or_else(|| names::pod_mac(&order.key));
        let interface = |name: &str| Interface { name: name.to_owned(), mac };
        let own = Some(interface(&order.key.interface));
        let mut former = None;
        let (host_name, pod_end, socket) = match &order.kind {
            Kind::Veth if pod.is_some() => (Some(port.clone()), own, None),
            Kind::Veth => (Some(port.clone()), Some(interface(&names::waiting_name(&port))), None),
            Kind::Taken { host: name } => {
                let found = self.taken(&mut host, name)?;
                let pod_end = taken::pod_end(&order, pod)?;
                former = Some(found);
                (Some(name.clone()), Some(pod_end), None)
            }
            Kind::HostDevice { device } => {
                let found = host_device::spare(&mut host, device, &self.engine.desired())?;
                let mac = order
                    .mac
                    .or(found.mac)
                    .ok_or_else(|| OrderError::InUse { device: device.clone(), why: "has no Ethernet address" })?;
                former = Some(found);
                (None, Some(Interface { name: order.key.interface.clone(), mac }), None)
            }
            Kind::VhostUser => (None, None, Some(vhost_user::socket(&self.settings.vhost_sockets, &port))),
        };
        let host = host_name.map(|name| Interface { mac: names::host_mac(&order.key), name });
        let attachment = Attachment {
            stage: Stage::Making,
            port,
            host,
            pod: pod_end,
            socket,
            addresses: Vec::new(),
            routes: Vec::new(),
            dns: Dns::default(),
            mtu,
            since: self.leases.now(),
            order,
        };
        Ok(Record { attachment, netns: pod.map(PodNetns::number), former })
    }

    /// A name for the port that neither the switch nor the host knows.
    fn free_name(&self, order: &Order, host: &mut Links) -> Result<String, AttachError> {
        let desired = self.engine.desired();
        let mut attempt = 0;
        loop {
            let name = names::port_name(&order.key, attempt);
            let is_link = match host.by_name(&name) {
                Ok(_) => true,
                Err(HostError::NoSuchLink { .. }) => false,
                Err(error) => return Err(AttachError::host("the links of the host")(error)),
            };
            if !is_link && !desired.ports.contains_key(name.as_str()) && !self.book.has_port(&name) {
                return Ok(name);
            }
            attempt += 1;
        }
    }

    /// Makes it. What may be there when this fails is in the record.
    fn make(&self, held: &Held, record: &mut Record, pod: Option<&PodNetns>) -> Result<(), AttachError> {
        let written = self.write_making(record)?;
        held.write(record);
        match record.attachment.order.kind {
            Kind::Veth => self.make_veth(record, pod, written)?,
            Kind::Taken { .. } => {
                written.wait()?;
                self.take_over(record)?;
            }
            Kind::HostDevice { .. } => {
                written.wait()?;
                let pod = pod.ok_or(OrderError::NoNetns)?;
                // First, because a plugin may ask for addresses over it.
                host_device::lend(record, pod)?;
                self.delegate(record)?;
                host_device::furnish_lent(record, pod)?;
            }
            Kind::VhostUser => {
                written.wait()?;
                self.delegate(record)?;
                vhost_user::make(record)?;
            }
        }
        record.attachment.stage = Stage::Up;
        self.write_up(record)?.wait()?;
        held.write(record);
        let write = |taught: &[Arc<Record>]| self.journal.submit(taught.iter().map(|record| put(record)).collect());
        held.share_labels(write).map_or(Ok(()), Pending::wait)?;
        Ok(())
    }

    /// Begins to write down what will be made, and the addresses with it.
    fn write_making(&self, record: &mut Record) -> Result<Pending, AttachError> {
        let order = record.attachment.order.clone();
        let owner = lease_owner(&order.key);
        let at = (order.network.as_str(), owner.as_str());
        let mut along = |addresses: &[Address]| {
            record.addressed(addresses)?;
            Ok::<_, AttachError>(vec![put(record)])
        };
        match &order.addressing {
            Addressing::Own { wished } => self.leases.lease(at, wished, &mut along),
            // Docker has them of us beforehand, by its own IPAM calls. Nobody else asked for what they give.
            Addressing::Given { addresses } if order.key.origin == Origin::Docker => {
                Ok(self.journal.submit(along(addresses)?))
            }
            Addressing::Given { addresses } => {
                let own: Vec<_> = addresses.iter().map(|own| own.address.address()).collect();
                self.leases.claim(at, &own, &mut |_| along(addresses))
            }
            // What a plugin gives is written down when it has given it.
            Addressing::Delegated { .. } | Addressing::None => Ok(self.journal.submit(along(&[])?)),
        }
    }

    /// Begins to write down that it is made; with addresses that somebody else gave, they are noted as held.
    fn write_up(&self, record: &Record) -> Result<Pending, AttachError> {
        let attachment = &record.attachment;
        if !matches!(attachment.order.addressing, Addressing::Delegated { .. }) {
            return Ok(self.journal.submit(vec![put(record)]));
        }
        let owner = lease_owner(&attachment.order.key);
        let own: Vec<_> = attachment.addresses.iter().map(|own| own.address.address()).collect();
        let at = (attachment.order.network.as_str(), owner.as_str());
        self.leases.claim(at, &own, &mut |_| Ok(vec![put(record)]))
    }

    /// A veth pair, its far end born in the pod.
    fn make_veth(&self, record: &mut Record, pod: Option<&PodNetns>, written: Pending) -> Result<(), AttachError> {
        std::thread::scope(|scope| {
            // Entered while the journal is written and the link is made.
            let inside = pod.map(|pod| Inside::enter(scope, pod, record)).transpose()?;
            written.wait()?;
            let mut host = Links::open().map_err(AttachError::host("the links of the host"))?;
            self.link_up(&mut host, record, pod)?;
            let early = record.speaks_dhcp();
            if early {
                self.open_port(record)?;
            }
            self.delegate(record)?;
            if early {
                self.state_addresses(record)?;
            }
            let furnished = inside.map(|inside| inside.furnish(record));
            let opened = if early { Ok(()) } else { self.open_port(record) };
            let Some(furnished) = furnished else { return opened };
            let mut links = furnished.wait()?;
            opened?;
            announce(&mut links, record);
            Ok(())
        })
    }

    /// Makes the pair and has the host's end up.
    fn link_up(&self, host: &mut Links, record: &Record, pod: Option<&PodNetns>) -> Result<(), AttachError> {
        use std::os::fd::AsFd;
        let Attachment { order, port, pod: pod_end, mtu, .. } = &record.attachment;
        let Some(pod_end) = pod_end else { return Ok(()) };
        let peer = podlane_host::VethPeer {
            name: &pod_end.name,
            netns: pod.map(|pod| pod.netns.as_fd()),
            mac: Some(pod_end.mac.0),
        };
        let mac = Some(names::host_mac(&order.key).0);
        let veth = podlane_host::Veth { name: port, mtu: *mtu, mac, queues: 1, peer };
        let index = host.veth(&veth).map_err(AttachError::host("the pod's link"))?;
        let up = |host: &mut Links| {
            host.set_alias(index, &self.alias(order))?;
            // The host has no business on this link.
            host.without_link_local(index)?;
            host.set_up(index)
        };
        up(host).map_err(AttachError::host("the host's end of the pod's link"))?;
        if pod.is_none() {
            let waiting = host.by_name(&pod_end.name).map_err(AttachError::host("the pod's interface"))?;
            pod_end::merge(host, waiting.index);
        }
        Ok(())
    }

    /// Runs the IPAM plugin, where there is one.
    fn delegate(&self, record: &mut Record) -> Result<(), AttachError> {
        let Some(given) = delegate::add(&record.attachment.order)? else { return Ok(()) };
        let Delegated { addresses, routes, dns } = given;
        record.attachment.order.routes.extend(routes);
        record.attachment.dns = dns;
        record.addressed(&addresses)?;
        Ok(())
    }

    /// Has the switch open the port, if there is to be one. Its policy and its tables are in force when this returns.
    pub(super) fn open_port(&self, record: &Record) -> Result<(), AttachError> {
        let desired = self.engine.desired();
        let Some(port) = port(record, &desired)? else { return Ok(()) };
        let own = port.pod.as_ref().map(|pod| &pod.name);
        let has_it = |other: &&Arc<Port>| {
            let is_own = own.is_some() && other.pod.as_ref().map(|pod| &pod.name) == own;
            is_own && !self.book.is_beside(record, other.name.as_str())
        };
        if let (Some(pod), Some(other)) = (own, desired.ports.values().find(has_it)) {
            return Err(AttachError::PodElsewhere { pod: pod.clone(), port: other.name.to_string() });
        }
        let name = record.attachment.port.clone();
        self.engine.add_port(port).map_err(|source| AttachError::Port { port: name, source })
    }

    /// Has the switch guard the pod, and policies know it, by the addresses that came over its port.
    fn state_addresses(&self, record: &Record) -> Result<(), AttachError> {
        let Attachment { port, addresses, .. } = &record.attachment;
        let name = Name::new(port).ok_or_else(|| OrderError::Interface(port.clone()))?;
        let addresses = addresses.iter().map(|own| own.address.address()).collect();
        self.engine.state_addresses(&name, addresses).map_err(|source| AttachError::Port { port: port.clone(), source })
    }

    /// What a failed attempt made is taken away; what cannot be is left to the record, and told.
    fn undo(&self, held: &Held, record: &Record) {
        let undone = self.close(record).and_then(|()| self.clear(held, record));
        if let Err(error) = undone {
            tracing::warn!(port = record.attachment.port, %error, "an attempt to attach that failed left something, which the next one takes away");
        }
    }
}

impl Record {
    /// Gives it these addresses, and the routes that go with them.
    fn addressed(&mut self, addresses: &[Address]) -> Result<(), OrderError> {
        let order = &self.attachment.order;
        self.attachment.routes = pod_end::routes(&order.routes, order.default_route, addresses)?;
        self.attachment.addresses = addresses.to_vec();
        Ok(())
    }

    /// Whether its addresses are asked for over its link.
    pub(super) fn speaks_dhcp(&self) -> bool {
        matches!(&self.attachment.order.addressing, Addressing::Delegated { plugin, .. } if plugin == DHCP)
    }

    /// What the pod's end is to be; none for a socket.
    pub(super) fn pod_end(&self) -> Option<PodEnd<'_>> {
        let Attachment { pod, addresses, routes, mtu, order, .. } = &self.attachment;
        let merges = order.kind == Kind::Veth;
        pod.as_ref().map(|interface| PodEnd { interface, mtu: *mtu, addresses, routes, merges })
    }
}

fn in_the_way(rival: Rival) -> AttachError {
    let how = "which has the addresses of this container's interface in the network";
    match rival {
        Rival::Leases(key) => AttachError::Attached { key, how },
        Rival::Sandbox { pod, port } => AttachError::PodElsewhere { pod, port },
    }
}

/// The record as it is, to be written.
pub(super) fn put(record: &Record) -> Change {
    Change::put(Table::Attachments, journal_key(record.key()), record.bytes())
}

/// Tells the pod's neighbours; those that miss it ask when what they know has aged.
fn announce(links: &mut Links, record: &Record) {
    let Some(pod) = &record.attachment.pod else { return };
    if let Err(error) = links.announce(&pod.name) {
        tracing::warn!(%error, "a pod's addresses were not announced");
    }
}

/// A thread in the pod's namespace, that waits to be told what to do there.
struct Inside<'scope> {
    go: SyncSender<Record>,
    thread: ScopedJoinHandle<'scope, Result<Links, AttachError>>,
}

/// It has been told.
struct Furnishing<'scope>(ScopedJoinHandle<'scope, Result<Links, AttachError>>);

impl<'scope> Inside<'scope> {
    fn enter(scope: &'scope Scope<'scope, '_>, pod: &'scope PodNetns, record: &Record) -> Result<Self, AttachError> {
        let (go, told) = sync_channel(1);
        let name = record.attachment.port.clone();
        let thread = Builder::new().name(name).spawn_scoped(scope, move || inside(pod, &told));
        let thread = thread.map_err(|error| AttachError::Netns(NetnsError::Thread(error)))?;
        Ok(Self { go, thread })
    }

    fn furnish(self, record: &Record) -> Furnishing<'scope> {
        // Should the thread have ended, it has an error to tell.
        drop(self.go.send(record.clone()));
        Furnishing(self.thread)
    }
}

impl Furnishing<'_> {
    fn wait(self) -> Result<Links, AttachError> {
        self.0.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

fn inside(pod: &PodNetns, told: &Receiver<Record>) -> Result<Links, AttachError> {
    pod.netns.enter().map_err(AttachError::Netns)?;
    let links = Links::open().map_err(AttachError::host("the links of the pod"))?;
    match told.recv() {
        Ok(record) => match record.pod_end() {
            Some(end) => furnish(links, &end),
            None => Ok(links),
        },
        // It failed before; nobody asks for the outcome.
        Err(_) => Ok(links),
    }
}
