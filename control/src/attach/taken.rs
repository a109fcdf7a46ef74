//! A veth that another plugin made: its host end leaves the plugin's bridge and becomes a port, and goes back at the end.

use podlane_api::MacAddr;
use podlane_host::{HostError, Links};

use super::error::{AttachError, OrderError};
use super::inner::Inner;
use super::pod_end::{PodNetns, merge};
use super::record::{Former, Record};
use super::{Interface, Order};
use crate::desired::{Behind, Desired};

impl Inner {
    /// Looks at the host end, which nobody else has.
    pub(super) fn taken(&self, host: &mut Links, name: &str) -> Result<Former, AttachError> {
        let link = match host.by_name(name) {
            Ok(link) => link,
            Err(HostError::NoSuchLink { .. }) => return Err(OrderError::NoHostEnd(name.to_owned()).into()),
            Err(error) => return Err(AttachError::host("the host's end of the pod's link")(error)),
        };
        not_a_port(name, &self.engine.desired())?;
        let master = link.master.map(|master| host.by_index(master)).transpose();
        let master = master.map_err(AttachError::host("the bridge of the pod's link"))?;
        Ok(Former::of(&link, master.map(|bridge| bridge.name)))
    }

    /// Takes the host end out of its bridge and makes it a port; the pod's neighbours learn where it is now.
    pub(super) fn take_over(&self, record: &Record) -> Result<(), AttachError> {
        let Some(end) = &record.attachment.host else { return Ok(()) };
        let take = |host: &mut Links| {
            let link = host.by_name(&end.name)?;
            if link.master.is_some() {
                host.free(&link)?;
            }
            host.set_up(&link)
        };
        let mut host = Links::open().map_err(AttachError::host("the links of the host"))?;
        take(&mut host).map_err(AttachError::host("the host's end of the pod's link"))?;
        self.open_port(record)?;
        self.announce_inside(record);
        Ok(())
    }

    /// Has the pod's end announce itself, as another plugin furnished it.
    fn announce_inside(&self, record: &Record) {
        let (Some(pod), Some(path)) = (&record.attachment.pod, &record.attachment.order.netns) else { return };
        let announced = PodNetns::open(path, self.own).map(|pod_netns| {
            let inside = || {
                let mut links = Links::open()?;
                let link = links.by_name(&pod.name)?;
                merge(&mut links, link.index);
                for file in [
                    format!("net/ipv4/conf/{}/arp_notify", pod.name),
                    format!("net/ipv6/conf/{}/ndisc_notify", pod.name),
                ] {
                    podlane_host::sysctl(&file, 1)?;
                }
                links.announce(&link)
            };
            pod_netns.netns.run(inside).map_err(HostError::from).flatten()
        });
        match announced {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "a pod's addresses were not announced"),
            Err(error) => tracing::warn!(%error, "a pod's addresses were not announced"),
        }
    }
}

/// The pod's end as the plugin before us made it.
pub(super) fn pod_end(order: &Order, pod: Option<&PodNetns>) -> Result<Interface, AttachError> {
    let pod = pod.ok_or(OrderError::NoNetns)?;
    let name = order.key.interface.clone();
    let mut links = Links::open_in(&pod.netns).map_err(AttachError::host("the links of the pod"))?;
    let link = links.by_name(&name).map_err(AttachError::host("the pod's interface"))?;
    let mac = link.mac.map(MacAddr).ok_or(OrderError::Interface(name.clone()))?;
    Ok(Interface { name, mac })
}

/// Gives the host end back to its bridge, where both are still there.
pub(super) fn give_back(record: &Record) -> Result<(), AttachError> {
    let (Some(end), Some(former)) = (&record.attachment.host, &record.former) else { return Ok(()) };
    let Some(master) = &former.master else { return Ok(()) };
    let mut host = Links::open().map_err(AttachError::host("the links of the host"))?;
    match host.enslave(&end.name, master) {
        // The other plugin has taken either away already.
        Ok(()) | Err(HostError::NoSuchLink { .. }) => Ok(()),
        Err(error) => Err(AttachError::host("the host's end of the pod's link")(error)),
    }
}

/// Whether no port of the switch has the device.
pub(super) fn not_a_port(device: &str, desired: &Desired) -> Result<(), OrderError> {
    let has =
        |behind: &Behind| matches!(behind, Behind::Device(own) if own.netns.is_none() && own.name.as_str() == device);
    match desired.ports.values().find(|port| has(&port.behind)) {
        Some(port) => Err(OrderError::IsPort { device: device.to_owned(), port: port.name.to_string() }),
        None => Ok(()),
    }
}
