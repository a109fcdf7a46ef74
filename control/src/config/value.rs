//! What one value of the file must be: a type a row, with the sentence that says so to people.

mod offload;
mod pod;
mod rate;

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use podlane_ipam::Span;
use toml::de::{DeInteger, DeValue};

use crate::desired::{
    ConnectionCapacity, DeviceName, Encapsulation, FloodLimit, FlowCapacity, FrameBytes, FrameCount, Gateway, MacAddr,
    Mode, Mtu, Name, Poll, Queues, Ratio, RingSize, Sharing, VlanId, Vni, WakeLatency, Xdp,
};
use podlane_api::{MAX_SOCKET_PATH, PortKind};

pub(super) use offload::{Capacity, Every, Family, Field, Insertions, Latency, Protocol};
pub(super) use pod::{LabelKey, LabelValue, PortName, ServicePort};

/// A type that a value of the file can become.
pub(super) trait FromValue: Sized {
    /// What the value must be; completes "must be ...".
    fn must_be() -> Cow<'static, str>;

    /// The value as this type; none when it is not what it must be.
    fn from_value(value: &DeValue<'_>) -> Option<Self>;

    /// The words it can be, for a type that is one of a few words.
    fn words() -> &'static [&'static str] {
        &[]
    }
}

/// A value as it was found, in a few words.
#[derive(Clone, PartialEq, Debug)]
pub struct Found(String);

impl Found {
    pub(super) fn new(value: &DeValue<'_>) -> Self {
        Self(match value {
            DeValue::String(text) => format!("{text:?}"),
            DeValue::Integer(number) => number.to_string(),
            DeValue::Float(number) => number.to_string(),
            DeValue::Boolean(value) => value.to_string(),
            DeValue::Datetime(_) => "a date".to_owned(),
            DeValue::Array(_) => "a list".to_owned(),
            DeValue::Table(_) => "a table".to_owned(),
        })
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A type whose values are words.
trait Word: Sized + Copy + 'static {
    const WORDS: &'static [&'static str];
    const VALUES: &'static [Self];
}

impl<T: Word> FromValue for T {
    fn must_be() -> Cow<'static, str> {
        let quoted: Vec<_> = T::WORDS.iter().map(|word| format!("\"{word}\"")).collect();
        quoted.join(" or ").into()
    }

    fn from_value(value: &DeValue<'_>) -> Option<Self> {
        let index = T::WORDS.iter().position(|word| Some(*word) == value.as_str())?;
        T::VALUES.get(index).copied()
    }

    fn words() -> &'static [&'static str] {
        T::WORDS
    }
}

impl Word for Poll {
    const WORDS: &'static [&'static str] = &["adaptive", "busy"];
    const VALUES: &'static [Self] = &[Self::Adaptive, Self::Busy];
}

impl Word for PortKind {
    const WORDS: &'static [&'static str] = &["pod", "uplink", "replay"];
    const VALUES: &'static [Self] = &[Self::Pod, Self::Uplink, Self::Replay];
}

impl Word for Mode {
    const WORDS: &'static [&'static str] = &["auto", "zero-copy", "copy"];
    const VALUES: &'static [Self] = &[Self::Auto, Self::ZeroCopy, Self::Copy];
}

impl Word for Xdp {
    const WORDS: &'static [&'static str] = &["auto", "native", "generic"];
    const VALUES: &'static [Self] = &[Self::Auto, Self::Native, Self::Generic];
}

impl Word for Sharing {
    const WORDS: &'static [&'static str] = &["mac", "ip"];
    const VALUES: &'static [Self] = &[Self::Mac, Self::Ip];
}

impl Word for Encapsulation {
    const WORDS: &'static [&'static str] = &[Self::Vxlan.name(), Self::Geneve.name()];
    const VALUES: &'static [Self] = &[Self::Vxlan, Self::Geneve];
}

impl FromValue for bool {
    fn must_be() -> Cow<'static, str> {
        "true or false".into()
    }

    fn from_value(value: &DeValue<'_>) -> Option<Self> {
        value.as_bool()
    }
}

impl FromValue for usize {
    fn must_be() -> Cow<'static, str> {
        "a core's number, counted from 0".into()
    }

    fn from_value(value: &DeValue<'_>) -> Option<Self> {
        integer(value)
    }
}

impl FromValue for u64 {
    fn must_be() -> Cow<'static, str> {
        "a whole number, not below 0".into()
    }

    fn from_value(value: &DeValue<'_>) -> Option<Self> {
        integer(value)
    }
}

impl FromValue for Vni {
    fn must_be() -> Cow<'static, str> {
        between("a whole number", 1..=Self::MAX)
    }

    fn from_value(value: &DeValue<'_>) -> Option<Self> {
        integer(value).and_then(Self::new)
    }
}

impl FromValue for VlanId {
    fn must_be() -> Cow<'static, str> {
        Self::MUST_BE.into()
    }

    fn from_value(value: &DeValue<'_>) -> Option<Self> {
        integer(value).and_then(Self::new)
    }
}

/// A UDP port that packets can be sent to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct UdpPort(pub(super) u16);

impl FromValue for UdpPort {
    fn must_be() -> Cow<'static, str> {
        between("a UDP port", 1..=u16::MAX.into())
    }

    fn from_value(value: &DeValue<'_>) -> Option<Self> {
        integer(value).filter(|port| *port != 0).map(Self)
    }
}

impl FromValue for WakeLatency {
    fn must_be() -> Cow<'static, str> {
        between("a whole number of microseconds", Self::BOUNDS)
    }

    fn from_value(value: &DeValue<'_>) -> Option<Self> {
        integer(value).and_then(Self::new)
    }
}

impl FromValue for FloodLimit {
    fn must_be() -> Cow<'static, str> {
        "a whole number of packets a second, 0 for none".into()
    }

    fn from_value(value: &DeValue<'_>) -> Option<Self> {
        integer(value).map(Self)
    }
}

impl FromValue for Mtu {
    fn must_be() -> Cow<'static, str> {
        between("a whole number of bytes", Self::BOUNDS)
    }

    fn from_value(value: &DeValue<'_>) -> Option<Self> {
        integer(value).and_then(Self::new)
    }
}

impl FromValue for FrameCount {
    fn must_be() -> Cow<'static, str> {
        between("a whole number of frames", Self::BOUNDS)
    }

    fn from_value(value: &DeValue<'_>) -> Option<Self> {
        integer(value).and_then(Self::new)
    }
}

impl FromValue for FlowCapacity {
    fn must_be() -> Cow<'static, str> {
        between("a whole number of flows", Self::BOUNDS)
    }

    fn from_value(value: &DeValue<'_>) -> Option<Self> {
        integer(value).and_then(Self::new)
    }
}

impl FromValue for ConnectionCapacity {
    fn must_be() -> Cow<'static, str> {
        between("a whole number of connections", Self::BOUNDS)
    }

    fn from_value(value: &DeValue<'_>) -> Option<Self> {
        integer(value).and_then(Self::new)
    }
}

impl FromValue for RingSize {
    fn must_be() -> Cow<'static, str> {
        between("a power of two", Self::BOUNDS)
    }

    fn from_value(value: &DeValue<'_>) -> Option<Self> {
        integer(value).and_then(Self::new)
    }
}

impl FromValue for FrameBytes {
    fn must_be() -> Cow<'static, str> {
        "2048 or 4096".into()
    }

    fn from_value(value: &DeValue<'_>) -> Option<Self> {
        integer(value).and_then(Self::new)
    }
}

impl FromValue for Queues {
    fn must_be() -> Cow<'static, str> {
        format!("\"all\" or how many queues, from 1 to {}", Self::MAX).into()
    }

    fn from_value(value: &DeValue<'_>) -> Option<Self> {
        if value.as_str() == Some("all") {
            return Some(Self::All);
        }
        integer(value).filter(|count| (1..=Self::MAX).contains(count)).map(Self::First)
    }

    fn words() -> &'static [&'static str] {
        &["all"]
    }
}

impl FromValue for Ratio {
    fn must_be() -> Cow<'static, str> {
        "a share from 0.0 to 1.0".into()
    }

    fn from_value(value: &DeValue<'_>) -> Option<Self> {
        let share = match value {
            DeValue::Float(share) => share.as_str().parse().ok()?,
            _ => f64::from(integer::<u32>(value)?),
        };
        Self::new(share)
    }
}

impl FromValue for Duration {
    fn must_be() -> Cow<'static, str> {
        "a time with its unit, from \"1s\" to \"30d\", such as \"90s\", \"5m\" or \"2h\"".into()
    }

    fn from_value(value: &DeValue<'_>) -> Option<Self> {
        let text = value.as_str()?;
        let unit = text.find(|c: char| !c.is_ascii_digit())?;
        let seconds = match &text[unit..] {
            "s" => 1,
            "m" => 60,
            "h" => 3_600,
            "d" => 86_400,
            _ => return None,
        };
        let seconds = text[..unit].parse::<u64>().ok()?.checked_mul(seconds)?;
        (1..=30 * 86_400).contains(&seconds).then(|| Self::from_secs(seconds))
    }
}

impl FromValue for Name {
    fn must_be() -> Cow<'static, str> {
        format!("a name of 1 to {} letters, digits, dots, dashes and underscores", Self::MAX).into()
    }

    fn from_value(value: &DeValue<'_>) -> Option<Self> {
        Self::new(value.as_str()?)
    }
}

impl FromValue for DeviceName {
    fn must_be() -> Cow<'static, str> {
        format!("a netdev's name of 1 to {} characters, such as \"eth0\"", Self::MAX).into()
    }

    fn from_value(value: &DeValue<'_>) -> Option<Self> {
        Self::new(value.as_str()?)
    }
}

impl FromValue for MacAddr {
    fn must_be() -> Cow<'static, str> {
        "a MAC address such as \"02:00:00:00:01:01\"".into()
    }

    fn from_value(value: &DeValue<'_>) -> Option<Self> {
        value.as_str()?.parse().ok()
    }
}

impl FromValue for IpAddr {
    fn must_be() -> Cow<'static, str> {
        "an IP address such as \"10.1.0.2\" or \"fd00:1::2\"".into()
    }

    fn from_value(value: &DeValue<'_>) -> Option<Self> {
        value.as_str()?.parse().ok()
    }
}

impl FromValue for Gateway {
    fn must_be() -> Cow<'static, str> {
        "an address with its prefix length, such as \"10.1.0.1/24\" or \"fd00:1::1/64\"".into()
    }

    fn from_value(value: &DeValue<'_>) -> Option<Self> {
        value.as_str()?.parse().ok()
    }
}

impl FromValue for Span {
    fn must_be() -> Cow<'static, str> {
        "a subnet such as \"10.1.0.0/24\", a first and a last address such as \"10.1.0.10-10.1.0.99\", or one address"
            .into()
    }

    fn from_value(value: &DeValue<'_>) -> Option<Self> {
        value.as_str()?.parse().ok()
    }
}

/// A subnet, perhaps with bits set where it has none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct WrittenPrefix(pub(super) Gateway);

impl FromValue for WrittenPrefix {
    fn must_be() -> Cow<'static, str> {
        "a prefix such as \"0.0.0.0/0\" or \"fd00:2::/32\"".into()
    }

    fn from_value(value: &DeValue<'_>) -> Option<Self> {
        value.as_str()?.parse().ok().map(Self)
    }
}

/// A file's path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct FilePath(pub(super) PathBuf);

impl FromValue for FilePath {
    fn must_be() -> Cow<'static, str> {
        "the absolute path of a file".into()
    }

    fn from_value(value: &DeValue<'_>) -> Option<Self> {
        let path = PathBuf::from(value.as_str()?);
        (path.is_absolute() && path.file_name().is_some()).then_some(Self(path))
    }
}

/// A directory's path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct DirectoryPath(pub(super) PathBuf);

impl FromValue for DirectoryPath {
    fn must_be() -> Cow<'static, str> {
        "the absolute path of a directory".into()
    }

    fn from_value(value: &DeValue<'_>) -> Option<Self> {
        let path = PathBuf::from(value.as_str()?);
        path.is_absolute().then_some(Self(path))
    }
}

/// A Unix socket's path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct SocketPath(pub(super) PathBuf);

impl FromValue for SocketPath {
    fn must_be() -> Cow<'static, str> {
        format!("the absolute path of a file, of at most {MAX_SOCKET_PATH} bytes").into()
    }

    fn from_value(value: &DeValue<'_>) -> Option<Self> {
        let FilePath(path) = FilePath::from_value(value)?;
        (path.as_os_str().len() <= MAX_SOCKET_PATH).then_some(Self(path))
    }
}

/// A type that a key of the file can become, where keys are data.
pub(super) trait FromKey: Sized {
    /// What the key must be; completes "must be ...".
    const MUST_BE: &'static str;

    /// The key as this type.
    fn from_key(key: &str) -> Option<Self>;
}

impl FromKey for VlanId {
    const MUST_BE: &'static str = "a VLAN id from 1 to 4094";

    fn from_key(key: &str) -> Option<Self> {
        key.parse().ok().and_then(Self::new)
    }
}

fn between(what: &str, bounds: RangeInclusive<u32>) -> Cow<'static, str> {
    format!("{what} from {} to {}", bounds.start(), bounds.end()).into()
}

/// A whole number that fits `T`. TOML writes them in four radixes, with underscores.
fn integer<T: TryFrom<i64>>(value: &DeValue<'_>) -> Option<T> {
    let number: &DeInteger<'_> = value.as_integer()?;
    let number = i64::from_str_radix(number.as_str(), number.radix()).ok()?;
    T::try_from(number).ok()
}
