//! What Kubernetes takes for a name, a label and a port's name.

/// Whether it is the name of an object, or of a namespace: a DNS subdomain in lower case.
#[must_use]
pub fn is_object_name(name: &str) -> bool {
    let part = |part: &str| {
        let inner = |letter: u8| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == b'-';
        !part.is_empty() && part.bytes().all(inner) && !part.starts_with('-') && !part.ends_with('-')
    };
    name.len() <= 253 && name.split('.').all(part)
}

/// Whether it is a label's key: a name of at most 63 letters, perhaps after a domain and a slash.
#[must_use]
pub fn is_label_key(key: &str) -> bool {
    match key.split_once('/') {
        Some((domain, name)) => is_object_name(domain) && is_label_name(name),
        None => is_label_name(key),
    }
}

/// Whether it is a label's value, which may be empty.
#[must_use]
pub fn is_label_value(value: &str) -> bool {
    value.is_empty() || is_label_name(value)
}

/// Whether it is the name of a container's port.
#[must_use]
pub fn is_port_name(name: &str) -> bool {
    let fits = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-';
    let lettered = name.contains(|letter: char| letter.is_ascii_lowercase());
    let dashes = name.starts_with('-') || name.ends_with('-') || name.contains("--");
    name.len() <= 15 && name.chars().all(fits) && lettered && !dashes
}

fn is_label_name(name: &str) -> bool {
    let inner = |letter: u8| letter.is_ascii_alphanumeric() || matches!(letter, b'-' | b'_' | b'.');
    let edge = |letter: Option<u8>| letter.is_some_and(|letter| letter.is_ascii_alphanumeric());
    name.len() <= 63 && name.bytes().all(inner) && edge(name.bytes().next()) && edge(name.bytes().last())
}
