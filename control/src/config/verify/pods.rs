//! Rules of which pod is behind a port: a pod may have several, of which one describes it, and what is said of a pod is said only where there is one.

use podlane_api::PortKind;
use podlane_policy::model::{NamedPort, PodName};

use super::First;
use crate::config::file::{PodKeys, PortTable};
use crate::config::mistake::{Findings, Mistake};
use crate::desired::{Description, Inhabitant};

/// The pods that were described so far, with the ports that do.
pub(super) struct Pods(First<PodName, String>);

impl Pods {
    pub(super) fn new() -> Self {
        Self(First::new())
    }

    /// Checks one port's.
    pub(super) fn check(&mut self, table: &PortTable, findings: &Findings<'_>) {
        let PodKeys { pod, labels, ports, node, is_pod_sound } = &table.pod;
        let is_node = node.given().filter(|node| node.value);
        if table.kind == PortKind::Uplink && table.is_kind_sound {
            for (key, at) in [("pod", pod.at()), ("node", is_node.map(|node| node.at))] {
                if let Some(at) = at {
                    findings.add(at, &table.subject, Mistake::NotForKind { key, kind: table.kind });
                }
            }
        }
        if pod.is_absent() && *is_pod_sound {
            for (key, at) in [("labels", labels.at()), ("ports", ports.at())] {
                if let Some(at) = at {
                    findings.add(at, &table.subject, Mistake::NeedsPod { key });
                }
            }
        }
        let Some(pod) = pod.given() else { return };
        if let Some(node) = is_node {
            findings.add(node.at, &table.subject, Mistake::PodAndNode);
        }
        let Some(described) = labels.at().or(ports.at()) else { return };
        if let Some((first, port)) = self.0.note(pod.value.clone(), described, table.subject.clone()) {
            let mistake = Mistake::DescribedTwice { pod: pod.value.clone(), port, first: findings.line(first) };
            findings.add(described, &table.subject, mistake);
        }
    }
}

/// The pod of a port, if it names one. One whose labels or ports are written is described by them.
pub(super) fn inhabitant(keys: PodKeys) -> Option<Inhabitant> {
    let is_described = !(keys.labels.is_absent() && keys.ports.is_absent());
    let labels = keys.labels.into_value().unwrap_or_default();
    let ports = keys.ports.into_value().unwrap_or_default();
    let named = |name: String, protocol, port| NamedPort { name, protocol, port };
    let mut ports: Vec<NamedPort> =
        ports.into_iter().map(|(name, port)| named(name.value.0, port.value.0, port.value.1)).collect();
    ports.sort_unstable();
    let description =
        Description { labels: labels.into_iter().map(|(key, value)| (key.value.0, value.value.0)).collect(), ports };
    let description = is_described.then_some(description);
    Some(Inhabitant { name: keys.pod.into_value()?, description, attached: false })
}
