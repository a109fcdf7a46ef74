//! What is attached, as it is asked for over the socket; and the calls that came while no daemon was there.

use std::net::IpAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use podlane_api::{AttachmentKind, AttachmentQuery, AttachmentStage, Caller};

use crate::attach::{Attachment, Kind, Origin, Stage};

/// Those of `attachments` that match, by network, container and interface.
pub(super) fn listed(attachments: Vec<Attachment>, query: &AttachmentQuery) -> podlane_api::Attachments {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let matching = attachments.into_iter().filter(|attachment| matches(attachment, query));
    let mut attachments: Vec<_> = matching.map(|attachment| told(attachment, now)).collect();
    attachments.sort_by(|a, b| (&a.network, &a.container, &a.interface).cmp(&(&b.network, &b.container, &b.interface)));
    podlane_api::Attachments { attachments }
}

fn matches(attachment: &Attachment, AttachmentQuery { network, of }: &AttachmentQuery) -> bool {
    let order = &attachment.order;
    let is_of = |of: &String| order.key.container.starts_with(of) || pod(attachment).as_ref() == Some(of);
    network.as_ref().is_none_or(|network| *network == order.network) && of.as_ref().is_none_or(is_of)
}

fn pod(attachment: &Attachment) -> Option<String> {
    attachment.order.pod.as_ref().map(|(namespace, name)| format!("{namespace}/{name}"))
}

fn told(attachment: Attachment, now: u64) -> podlane_api::Attachment {
    let pod = pod(&attachment);
    let gateways: std::collections::BTreeSet<IpAddr> =
        attachment.addresses.iter().filter_map(|of| of.gateway).collect();
    let Attachment { order, stage, port, socket, addresses, mtu, since, .. } = attachment;
    podlane_api::Attachment {
        caller: match order.key.origin {
            Origin::Cni => Caller::Cni,
            Origin::Docker => Caller::Docker,
            Origin::Netavark => Caller::Netavark,
        },
        list: order.key.list,
        container: order.key.container,
        interface: order.key.interface,
        pod,
        network: order.network,
        kind: match order.kind {
            Kind::Veth => AttachmentKind::Veth,
            Kind::Taken { .. } => AttachmentKind::Taken,
            Kind::VhostUser => AttachmentKind::VhostUser,
            Kind::HostDevice { .. } => AttachmentKind::HostDevice,
        },
        port,
        netns: order.netns,
        mac: attachment.pod.map(|pod| pod.mac),
        addresses: addresses.into_iter().map(|of| of.address).collect(),
        gateways: gateways.into_iter().collect(),
        mtu,
        socket,
        stage: match stage {
            Stage::Making => AttachmentStage::Making,
            Stage::Up => AttachmentStage::Up,
            Stage::Ending => AttachmentStage::Ending,
        },
        age_s: now.saturating_sub(since),
        notes: order.notes,
    }
}
