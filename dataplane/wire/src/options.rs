//! The option format that IPv4 and TCP share: one byte "end", one byte "no operation", else kind, length, data.

const END: u8 = 0;
const NO_OPERATION: u8 = 1;

/// Takes the next option off `rest`: its kind and data, or `Some(None)` for one whose length is impossible, after which
/// the walk is over.
#[inline]
#[expect(
    clippy::option_option,
    reason = "the outer says whether the walk goes on, the inner whether the option is sound"
)]
pub(crate) fn next<'a>(rest: &mut &'a [u8]) -> Option<Option<(u8, &'a [u8])>> {
    let (&kind, after) = rest.split_first()?;
    *rest = &[];
    if kind == END {
        return None;
    }
    if kind == NO_OPERATION {
        *rest = after;
        return Some(Some((kind, &[])));
    }
    let sound = after.split_first().and_then(|(&len, after)| {
        let data_len = usize::from(len).checked_sub(2)?;
        after.split_at_checked(data_len)
    });
    Some(sound.map(|(data, after)| {
        *rest = after;
        (kind, data)
    }))
}
