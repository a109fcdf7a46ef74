//! Whether an attachment is as it was promised, and whether there is room for another.

use std::thread::sleep;
use std::time::{Duration, Instant};

use podlane_api::PortState;
use podlane_host::{HostError, Links};

use super::error::AttachError;
use super::inner::Inner;
use super::pod_end::{PodEnd, PodNetns, differences};
use super::record::Record;
use super::{Attachment, Interface, Key, Kind, Stage, Told, ToldInterface};
use crate::reconcile::Facts;

/// How long a port may take to be opened when a daemon begins: 500 of them take a second.
const SETTLES_WITHIN: Duration = Duration::from_secs(3);
const LOOK_EVERY: Duration = Duration::from_millis(2);

impl Inner {
    /// Holds an attachment against what was promised and what the caller believes.
    ///
    /// # Errors
    /// [`AttachError::Differs`] names all that is not so.
    pub(super) fn check(&self, key: &Key, told: &Told) -> Result<(), AttachError> {
        let held = self.hold(key)?;
        let record = held.record().filter(|record| record.attachment.stage == Stage::Up);
        let record = record.ok_or_else(|| AttachError::Unknown { key: key.clone() })?;
        let pod = record.attachment.order.netns.as_deref().map(|path| PodNetns::open(path, self.own)).transpose()?;
        let told_end = told.interfaces.iter().find(|end| {
            let Attachment { order, pod, .. } = &record.attachment;
            end.netns == order.netns && pod.as_ref().is_some_and(|pod| pod.name == end.name)
        });
        let mut found = self.differences_from(&record, pod.as_ref(), told_end)?;
        found.extend(disbelief(&record.attachment, told));
        if found.is_empty() { Ok(()) } else { Err(AttachError::Differs { key: key.clone(), differences: found }) }
    }

    /// What is not as it was promised.
    pub(super) fn differences(&self, record: &Record, pod: Option<&PodNetns>) -> Result<Vec<String>, AttachError> {
        self.differences_from(record, pod, None)
    }

    /// What is not as it was promised, or as the caller says that others made of it since: its word is the later one.
    fn differences_from(
        &self,
        record: &Record,
        pod: Option<&PodNetns>,
        told: Option<&ToldInterface>,
    ) -> Result<Vec<String>, AttachError> {
        let mut found = Vec::new();
        if pod.map(PodNetns::number) != record.netns {
            found.push("the pod has another network namespace".to_owned());
            return Ok(found);
        }
        if let (Some(pod), Some(end)) = (pod, record.pod_end()) {
            let interface = &Interface {
                name: end.interface.name.clone(),
                mac: told.and_then(|told| told.mac).unwrap_or(end.interface.mac),
            };
            let mtu = told.and_then(|told| told.mtu).unwrap_or(end.mtu);
            let end = PodEnd { interface, mtu, ..end };
            let mut links = Links::open_in(&pod.netns).map_err(AttachError::host("the links of the pod"))?;
            found.extend(differences(&mut links, &end).map_err(AttachError::host("the pod's interface"))?);
        }
        found.extend(host_end(record)?);
        found.extend(self.port_state(record));
        if let Some(socket) = &record.attachment.socket
            && !socket.parent().is_some_and(std::path::Path::is_dir)
        {
            found.push(format!("the directory of {} is gone", socket.display()));
        }
        Ok(found)
    }

    /// What is wrong with the port.
    fn port_state(&self, record: &Record) -> Option<String> {
        let Attachment { order, port, .. } = &record.attachment;
        if !matches!(order.kind, Kind::Veth | Kind::Taken { .. }) {
            return None;
        }
        let facts = self.settled(port);
        match facts.ports.get(port.as_str()) {
            Some(fate) if fate.state == PortState::Up => None,
            Some(fate) => {
                let why = fate.reason.as_deref().map(|why| format!(" ({why})")).unwrap_or_default();
                Some(format!("the port {port} is {}{why}", fate.state))
            }
            None => Some(format!("the switch has no port {port}")),
        }
    }

    /// How the world is once the port is not waiting any more. A daemon that has just begun opens its pods' ports while it answers.
    fn settled(&self, port: &str) -> Facts {
        let deadline = Instant::now() + SETTLES_WITHIN;
        loop {
            let facts = self.engine.facts();
            let is_waiting = facts.ports.get(port).is_some_and(|fate| fate.state == PortState::Waiting);
            if !is_waiting || Instant::now() >= deadline {
                return facts;
            }
            sleep(LOOK_EVERY);
        }
    }

    /// Whether another pod could be attached.
    ///
    /// # Errors
    /// What stands against it.
    pub(super) fn status(&self, network: &str) -> Result<(), AttachError> {
        if let Some(what) = self.engine.facts().fatal {
            return Err(AttachError::Engine { what });
        }
        self.network(network)?;
        // Nothing, but as durable as anything.
        self.journal.commit(Vec::new())?;
        self.leases.read(|ipam, now| super::leases::has_room(ipam, network, now))?;
        Ok(())
    }
}

/// What is wrong with the host's end of a veth.
fn host_end(record: &Record) -> Result<Option<String>, AttachError> {
    let Some(end) = &record.attachment.host else { return Ok(None) };
    let mut host = Links::open().map_err(AttachError::host("the links of the host"))?;
    match host.by_name(&end.name) {
        Ok(link) if !link.up => Ok(Some(format!("the host's end {} is down", end.name))),
        Ok(_) => Ok(None),
        Err(HostError::NoSuchLink { .. }) => Ok(Some(format!("the host's end {} is gone", end.name))),
        Err(error) => Err(AttachError::host("the host's end of the pod's link")(error)),
    }
}

/// What the caller believes and was never told. What other plugins made is not ours to judge.
fn disbelief(attachment: &Attachment, told: &Told) -> Vec<String> {
    let mut found = Vec::new();
    // The pod's end is held against what the caller says; a host's end that was another's is that one's.
    let ours = attachment.host.iter().filter(|_| attachment.order.kind == Kind::Veth);
    for own in ours {
        let is_it = |interface: &&ToldInterface| interface.name == own.name && interface.netns.is_none();
        let told = told.interfaces.iter().find(is_it).and_then(|interface| interface.mac);
        if let Some(mac) = told.filter(|mac| *mac != own.mac) {
            found.push(format!("the caller knows {} by {mac}, and it has {}", own.name, own.mac));
        }
    }
    let lacks = |address: &&super::Address| told.addresses.iter().all(|told| told.address != address.address);
    if !told.addresses.is_empty() {
        let lacking = attachment.addresses.iter().filter(lacks);
        found.extend(lacking.map(|own| format!("the caller does not know of its address {}", own.address)));
    }
    found
}
