//! `podlane attachments`

use podlane_api::{Attachment, AttachmentKind, AttachmentStage, Attachments};

use super::Show;
use crate::cli::table::Lean::{Left, Right};
use crate::cli::table::{Cell, Table};
use crate::paint::Paint;
use crate::units::seconds;

/// As many characters of a container's id as `ctr`, `crictl` and `podman` show.
const ID: usize = 12;

impl Show for Attachments {
    fn show(&self, paint: Paint) -> String {
        if self.attachments.is_empty() {
            return "nothing is attached\n".to_owned();
        }
        let columns = [
            ("POD", Left),
            ("INTERFACE", Left),
            ("NETWORK", Left),
            ("KIND", Left),
            ("PORT", Left),
            ("MTU", Right),
            ("AGE", Right),
            ("STAGE", Left),
            ("ADDRESSES", Left),
        ];
        let mut table = Table::new(columns, paint);
        for attachment in &self.attachments {
            let stage = match attachment.stage {
                AttachmentStage::Up => paint.good,
                AttachmentStage::Making | AttachmentStage::Ending => paint.odd,
            };
            table.row([
                pod(attachment).into(),
                attachment.interface.as_str().into(),
                attachment.network.as_str().into(),
                attachment.kind.to_string().into(),
                attachment.port.as_str().into(),
                attachment.mtu.to_string().into(),
                seconds(attachment.age_s).into(),
                Cell::styled(attachment.stage.to_string(), stage),
                Cell::or_dash(addresses(attachment)),
            ]);
        }
        table.to_string()
    }
}

/// The pod, or who has the container and how its id begins.
fn pod(attachment: &Attachment) -> String {
    attachment.pod.clone().unwrap_or_else(|| {
        let id: String = attachment.container.chars().take(ID).collect();
        format!("{} {id}", attachment.caller)
    })
}

/// What it is reached by: its addresses, and the socket of a vhost-user port.
fn addresses(attachment: &Attachment) -> Option<String> {
    let socket = attachment.socket.iter().filter(|_| attachment.kind == AttachmentKind::VhostUser);
    let socket = socket.map(|socket| socket.display().to_string());
    let told: Vec<String> = attachment.addresses.iter().map(ToString::to_string).chain(socket).collect();
    (!told.is_empty()).then(|| told.join(" "))
}
