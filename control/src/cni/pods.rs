//! The daemon's attachments, asked in CNI's words; and which code each of their errors has.

use super::{CniError, Pods, code};
use crate::attach::{AttachError, Attachment, Attachments, Key, Order, Origin, Told};

impl Pods for Attachments {
    type Error = AttachError;

    fn attach(&self, order: Order) -> Result<Attachment, AttachError> {
        self.attach(order)
    }

    fn detach(&self, key: &Key) -> Result<(), AttachError> {
        self.detach(key)
    }

    fn check(&self, key: &Key, told: &Told) -> Result<(), AttachError> {
        self.check(key, told)
    }

    fn collect(&self, list: &str, valid: &[Key]) -> Result<Vec<Key>, AttachError> {
        self.collect(Origin::Cni, list, valid)
    }

    fn status(&self, network: &str) -> Result<(), CniError> {
        self.status(network).map_err(|error| unavailable(&error))
    }
}

/// Why no pod can be attached, to STATUS: a switch that does not work has cut off those that are, too.
fn unavailable(error: &AttachError) -> CniError {
    let (code, msg) = match error {
        AttachError::Engine { .. } => {
            (code::CUT_OFF, "no pod can be attached, and those that are attached are cut off")
        }
        _ => (code::NOT_AVAILABLE, "no pod can be attached"),
    };
    CniError::new(code, msg, error.to_string())
}

impl From<AttachError> for CniError {
    fn from(error: AttachError) -> Self {
        let (code, msg) = match &error {
            passing if passing.is_passing() => (code::TRY_AGAIN, "try again later"),
            AttachError::Network { .. } | AttachError::Order(_) => {
                (code::CONFIGURATION, "invalid network configuration")
            }
            AttachError::OwnNetns { .. } => (code::ENVIRONMENT, "invalid environment"),
            AttachError::Netns(_) | AttachError::Unknown { .. } => {
                (code::UNKNOWN_CONTAINER, "the container is not there")
            }
            AttachError::Directory { .. } => (code::INPUT_OUTPUT, "a directory cannot be used"),
            AttachError::Differs { .. } => (code::DIFFERS, "it is not as it was promised"),
            AttachError::Lease(_) => (code::ADDRESSES, "no address"),
            AttachError::Delegate(_) => (code::IPAM_PLUGIN, "the IPAM plugin failed"),
            AttachError::Attached { .. } => (code::ATTACHED, "it is attached already"),
            AttachError::Host { .. } => (code::KERNEL, "the kernel refused a step"),
            // What is left is of the switch, and of networks that no call of CNI makes.
            _ => (code::SWITCH, "the switch refused"),
        };
        Self::new(code, msg, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_switch_that_does_not_work_is_told_apart_from_one_that_takes_no_pod() {
        let engine = || AttachError::Engine { what: "worker 0 has ended".to_owned() };
        assert_eq!(unavailable(&engine()).code, 51);
        let network = AttachError::Network { network: "blue".to_owned(), nearest: None };
        assert_eq!(unavailable(&network).code, 50);
        // To ADD it is the same as any that passes.
        assert_eq!(CniError::from(engine()).code, 11);
    }
}
