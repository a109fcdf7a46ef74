//! The filters that stand before a device without tcx: `cls_bpf` and its elder siblings, on `clsact` or `ingress`.

use std::io;

use crate::device::{Attributes, HEADER_BYTES, dump, message, u32_at};
use crate::object::NAME_PREFIX;

const TCMSG_BYTES: usize = 20; // struct tcmsg
const INGRESS: u32 = 0xffff_fff2; // TC_H_CLSACT, TC_H_MIN_INGRESS
const TCA_OPTIONS: u16 = 2;
const TCA_BPF_NAME: u16 = 7;

/// A filter on what arrives.
#[derive(Debug)]
pub(super) struct Filter {
    pub(super) priority: u16,
    pub(super) handle: u32,
    name: Option<String>,
}

impl Filter {
    pub(super) fn is_ours(&self) -> bool {
        self.name.as_ref().is_some_and(|name| name.starts_with(NAME_PREFIX))
    }
}

/// The filters before a device, by its index; none, where it has no queueing discipline for them.
pub(super) fn filters(ifindex: u32) -> io::Result<Vec<Filter>> {
    let mut body = Vec::from([0; 4]); // family
    body.extend([ifindex, 0, INGRESS, 0].into_iter().flat_map(u32::to_ne_bytes));
    let messages = dump(&message(libc::RTM_GETTFILTER, libc::NLM_F_DUMP, &body));
    let messages = match messages {
        Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOENT)) => Vec::new(),
        messages => messages?,
    };
    Ok(messages.iter().filter_map(|message| read(message)).collect())
}

/// `None` of the head of a chain, which is no filter itself.
fn read(message: &[u8]) -> Option<Filter> {
    let handle = u32_at(message, HEADER_BYTES + 8).filter(|handle| *handle != 0)?;
    let priority = (u32_at(message, HEADER_BYTES + 16)? >> 16) as u16;
    let attributes = message.get(HEADER_BYTES + TCMSG_BYTES..)?;
    let options = Attributes(attributes).find_map(|(kind, value)| (kind == TCA_OPTIONS).then_some(value));
    let named =
        Attributes(options.unwrap_or_default()).find_map(|(kind, value)| (kind == TCA_BPF_NAME).then_some(value));
    let name = named.map(|name| String::from_utf8_lossy(name).trim_end_matches('\0').to_owned());
    Some(Filter { priority, handle, name })
}
