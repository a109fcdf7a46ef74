//! Policies, as they are applied, deleted and listed over the socket.

use std::sync::Arc;

use podlane_api::{Manifests, Policies, PolicyApplied, PolicyEntry, PolicyFinding, Refusal};
use podlane_policy::model::Policy;
use podlane_policy::yaml::{self, Documents, Finding, Refused, Warning};

use super::moment::Moment;
use crate::enforce::{Changed, Doubt, EnforceError, Enforcer, Live, Unfit};

impl Moment<'_> {
    pub(super) fn policies(&self) -> Result<Policies, Refusal> {
        let enforcer = self.enforcer()?;
        let judge = enforcer.in_force();
        let (classes, identities) = judge.compiled().classes();
        let listed = enforcer.look(|live| {
            let (pods, namespaces) = live.compiler().population();
            let policies = live.compiler().policies().map(|(policy, pods)| entry(live, policy, pods)).collect();
            Policies { pods: pods as u64, namespaces: namespaces as u64, policies, ..Policies::default() }
        });
        let unknown_pods = judge.unknown().map(ToString::to_string).collect();
        Ok(Policies { classes: classes as u64, identities: identities as u64, unknown_pods, ..listed })
    }

    pub(super) fn apply_policy(&self, manifests: &Manifests) -> Result<PolicyApplied, Refusal> {
        self.change(manifests, "applied", Enforcer::apply)
    }

    pub(super) fn delete_policy(&self, manifests: &Manifests) -> Result<PolicyApplied, Refusal> {
        self.change(manifests, "deleted", Enforcer::delete)
    }

    fn change(
        &self,
        Manifests { files, wait }: &Manifests,
        done: &str,
        change: impl FnOnce(&Enforcer, Documents, bool) -> Result<Changed, EnforceError>,
    ) -> Result<PolicyApplied, Refusal> {
        let enforcer = self.enforcer()?;
        let named = files.iter().map(|file| (file.from.as_str(), file.yaml.as_str()));
        let documents = yaml::read(named).map_err(|refused| refusal(refused.into()))?;
        let policies: Vec<String> = documents.cluster.policies.iter().map(|policy| policy.name.to_string()).collect();
        let Changed { objects, doubts } = change(enforcer, documents, *wait).map_err(refusal)?;
        doubts.iter().for_each(|doubt| tracing::warn!("{doubt}"));
        // Pods are relabelled all the time; who changes a policy is looked for afterwards.
        if !policies.is_empty() {
            tracing::info!(policies = policies.join(", "), done, "policies changed");
        }
        Ok(PolicyApplied { objects, warnings: doubts.into_iter().map(doubtful).collect(), in_force: *wait })
    }

    /// The policy in force, where one is enforced.
    pub(super) fn enforcer(&self) -> Result<&Arc<Enforcer>, Refusal> {
        self.engine().enforcer().ok_or(Refusal::NoPolicy)
    }
}

fn entry(live: &Live, policy: &Policy, pods: usize) -> PolicyEntry {
    let name = &policy.name;
    let source = live.source(name).cloned().unwrap_or_default();
    PolicyEntry {
        kind: name.kind.to_string(),
        namespace: name.namespace.clone(),
        name: name.name.clone(),
        tier: policy.tier.to_string(),
        priority: policy.priority,
        pods: pods as u64,
        file: source.file,
        line: source.line as u64,
    }
}

/// Why a change or a trial is refused.
pub(super) fn refusal(error: EnforceError) -> Refusal {
    match error {
        EnforceError::Refused(Refused(findings)) => {
            let finding = |Finding { file, line, object, wrong }| found((file, line), object, &wrong);
            Refusal::BadPolicy { findings: findings.into_iter().map(finding).collect() }
        }
        EnforceError::Unfit(unfit) => {
            let finding = |Unfit { source, object, misfit }: Unfit| found((source.file, source.line), object, &misfit);
            Refusal::BadPolicy { findings: unfit.into_iter().map(finding).collect() }
        }
        // What can only be at the start does not come from a change.
        EnforceError::Late
        | EnforceError::Unreadable { .. }
        | EnforceError::TooLong { .. }
        | EnforceError::Thread(_)
        | EnforceError::Silent(_) => Refusal::PolicyLate,
    }
}

/// What is probably not meant, as it is answered.
pub(super) fn doubtful(doubt: Doubt) -> PolicyFinding {
    match doubt {
        Doubt::Object(Warning { file, line, object, doubt }) => found((file, line), object, &doubt),
        doubt => found((String::new(), 0), String::new(), &doubt),
    }
}

fn found((file, line): (String, usize), object: String, what: &impl ToString) -> PolicyFinding {
    PolicyFinding { file, line: line as u64, object, what: what.to_string() }
}
