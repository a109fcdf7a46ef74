//! Names for people: what is shown is what stands in JSON, so that both can be searched for alike.

/// Displays the words that JSON uses.
macro_rules! words {
    ($($kind:ident { $($variant:ident: $word:literal),* })*) => {$(
        impl ::std::fmt::Display for $kind {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.pad(match self { $(Self::$variant => $word,)* })
            }
        }
    )*};
}
