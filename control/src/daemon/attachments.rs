//! What is attached, as it is asked for over the socket; and the calls that came while no daemon was there.

use std::net::IpAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use podlane_api::{AttachmentKind, AttachmentQuery, AttachmentStage, Call, Caller, CniCall, Pending, Refusal};

use super::Answers;
use super::answers::near;
use crate::attach::{Attachment, Attachments, Kind, Origin, Stage};
use crate::{cni, netavark};

impl Answers {
    /// The attachments that match, by network, container and interface.
    pub(super) fn listed(&self, query: &AttachmentQuery) -> Result<podlane_api::Attachments, Refusal> {
        let attachments = self.attachments()?;
        let desired = self.engine().desired();
        let is_unknown = |name: &&String| !desired.networks.contains_key(name.as_str());
        if let Some(name) = query.network.as_ref().filter(is_unknown) {
            let nearest = near(name, desired.networks.keys());
            return Err(Refusal::UnknownNetwork { name: name.clone(), nearest });
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let matching = attachments.list().into_iter().filter(|attachment| matches(attachment, query));
        let mut listed: Vec<_> = matching.map(|attachment| told(attachment, now)).collect();
        listed.sort_by(|a, b| (&a.network, &a.container, &a.interface).cmp(&(&b.network, &b.container, &b.interface)));
        Ok(podlane_api::Attachments { attachments: listed })
    }

    /// Carries out what runtimes asked while no daemon listened. Called when this one does, and before it answers.
    pub(super) fn carry_out_pending(&self) {
        let desired = self.engine().desired();
        if let (Ok(attachments), Some(settings)) = (self.attachments(), &desired.attachments) {
            carry_out_pending(&attachments, &Pending::at(settings.pending()));
        }
    }
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

/// A call older than the attachment it is about was overtaken by it, and is forgotten.
fn carry_out_pending(attachments: &Attachments, pending: &Pending) {
    let calls = match pending.calls() {
        Ok(calls) => calls,
        Err(error) => return tracing::error!(%error, "calls that wait for this daemon cannot be read"),
    };
    for waiting in calls {
        let carried_out = match &waiting.call {
            Call::Cni(call) if is_overtaken(attachments, call, waiting.asked_ms) => Ok(()),
            Call::Cni(call) => cni::carry_out(attachments, call).map(drop).map_err(|error| error.to_string()),
            Call::Netavark(call) => netavark::carry_out(attachments, call).map(drop).map_err(|error| error.to_string()),
        };
        if let Err(error) = carried_out {
            // Kept: the next start tries again.
            tracing::error!(error, directory = %pending.directory().display(), "a call that waited for this daemon failed");
            continue;
        }
        if let Err(error) = pending.done(&waiting) {
            tracing::error!(%error, "a call is carried out, and will be again");
        }
    }
}

/// Whether what the call is about was attached after it.
fn is_overtaken(attachments: &Attachments, call: &CniCall, asked_ms: u64) -> bool {
    let key = cni::key_of(call);
    let found = key.and_then(|key| attachments.find(&key));
    // `since` has whole seconds: one of the same second counts as older, as it nearly always is.
    found.is_some_and(|found| found.since > asked_ms / 1000)
}
