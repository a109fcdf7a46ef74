//! What a container runtime gets from the plugin: an error it can show, and never a success that nothing stands behind.

use std::process::{Command, Stdio};

use serde_json::Value;

#[test]
fn every_command_is_refused_in_the_form_of_the_specification() {
    for command in ["ADD", "DEL", "CHECK", "GC", "STATUS", "VERSION", ""] {
        let mut plugin = Command::new(env!("CARGO_BIN_EXE_podlane-cni"));
        let output = plugin.env("CNI_COMMAND", command).stdin(Stdio::null()).output().expect("the plugin runs");
        assert_eq!(output.status.code(), Some(1), "{command}");

        let error: Value = serde_json::from_slice(&output.stdout).expect("JSON on stdout");
        assert_eq!(error["cniVersion"], "1.1.0", "{command}");
        assert!(error["code"].as_u64().is_some_and(|code| code >= 100), "{command}: {error}");
        assert!(error["msg"].as_str().is_some_and(|msg| msg.contains(command)), "{command}: {error}");
        assert!(error["details"].as_str().is_some_and(|details| !details.is_empty()), "{command}: {error}");
        assert!(error.get("supportedVersions").is_none(), "{command}: {error}");
    }
}
