//! Words, bytes and descriptors over a Unix stream, each with a bound in size and in time.
//!
//! ```text
//!   [ length of the word: u32 | length of the bytes: u32 | descriptors: u32 | word: JSON | bytes ]  then one byte for each 200 descriptors
//! ```

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};
use serde::{Serialize, de::DeserializeOwned};
use thiserror::Error;

/// Descriptors of one message; the kernel takes 253.
const AT_ONCE: usize = 200;
const MOST_DESCRIPTORS: usize = 1 << 16;
const MOST_WORD: usize = 64 << 20;
const MOST_BYTES: usize = 1 << 30;

/// A word did not come, or did not leave.
#[derive(Debug, Error)]
pub enum CourierError {
    /// The other side has ended, or does not answer in time.
    #[error("the other daemon does not answer: {0}")]
    Stream(#[from] io::Error),
    /// What came is no word.
    #[error("the other daemon said what is not understood: {0}")]
    Word(#[from] serde_json::Error),
    /// What came is longer than anything that could be meant.
    #[error("the other daemon said more than can be meant ({what})")]
    TooMuch {
        /// Of what.
        what: &'static str,
    },
}

/// What comes with a word.
#[derive(Debug, Default)]
pub(super) struct Parcel {
    pub(super) bytes: Vec<u8>,
    pub(super) descriptors: Vec<OwnedFd>,
}

/// One end of a stream.
#[derive(Debug)]
pub(super) struct Courier(pub(super) UnixStream);

impl Courier {
    /// Waits so long for each word from now on, and for the other side to hear one.
    pub(super) fn patience(&self, longest: Duration) -> io::Result<()> {
        self.0.set_read_timeout(Some(longest))?;
        self.0.set_write_timeout(Some(longest))
    }

    pub(super) fn say(&self, word: &impl Serialize) -> Result<(), CourierError> {
        self.send(word, &[], &[])
    }

    pub(super) fn send(
        &self,
        word: &impl Serialize,
        bytes: &[u8],
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<(), CourierError> {
        let word = serde_json::to_vec(word)?;
        let mut head = Vec::with_capacity(12 + word.len());
        for (what, length) in [("words", word.len()), ("bytes", bytes.len()), ("descriptors", descriptors.len())] {
            let length = u32::try_from(length).map_err(|_| CourierError::TooMuch { what })?;
            head.extend(length.to_le_bytes());
        }
        head.extend(word);
        (&self.0).write_all(&head)?;
        (&self.0).write_all(bytes)?;
        for some in descriptors.chunks(AT_ONCE) {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(AT_ONCE))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            control.push(SendAncillaryMessage::ScmRights(some));
            sendmsg(&self.0, &[IoSlice::new(&[0])], &mut control, SendFlags::NOSIGNAL).map_err(io::Error::from)?;
        }
        Ok(())
    }

    /// The next word, and what comes with it.
    pub(super) fn hear<T: DeserializeOwned>(&self) -> Result<(T, Parcel), CourierError> {
        let mut head = [[0; 4]; 3];
        (&self.0).read_exact(head.as_flattened_mut())?;
        let [word, bytes, descriptors] = head.map(|length| u32::from_le_bytes(length) as usize);
        let bounds =
            [("words", word, MOST_WORD), ("bytes", bytes, MOST_BYTES), ("descriptors", descriptors, MOST_DESCRIPTORS)];
        if let Some((what, ..)) = bounds.into_iter().find(|(_, length, most)| length > most) {
            return Err(CourierError::TooMuch { what });
        }
        let word = self.exactly(word)?;
        let bytes = self.exactly(bytes)?;
        let descriptors = self.descriptors(descriptors)?;
        Ok((serde_json::from_slice(&word)?, Parcel { bytes, descriptors }))
    }

    fn exactly(&self, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        (&self.0).read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn descriptors(&self, count: usize) -> io::Result<Vec<OwnedFd>> {
        let mut all = Vec::with_capacity(count);
        while all.len() < count {
            let before = all.len();
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(AT_ONCE))];
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let mut byte = [0];
            let got = recvmsg(&self.0, &mut [IoSliceMut::new(&mut byte)], &mut control, RecvFlags::CMSG_CLOEXEC)
                .map_err(io::Error::from)?;
            for message in control.drain() {
                if let RecvAncillaryMessage::ScmRights(some) = message {
                    all.extend(some);
                }
            }
            if got.bytes == 0 || all.len() == before {
                let what = "fewer descriptors came than were said (is the limit on open files too low? ulimit -n)";
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, what));
            }
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    fn pair() -> (Courier, Courier) {
        let (one, other) = UnixStream::pair().unwrap();
        (Courier(one), Courier(other))
    }

    #[test]
    fn words_bytes_and_descriptors_arrive_as_they_were_sent_and_in_order() {
        let (one, other) = pair();
        let file = std::fs::File::open("/dev/null").unwrap();
        let many = vec![file.as_fd(); 450];
        let sends = std::thread::scope(|scope| {
            let sends = scope.spawn(|| {
                one.send(&"first", &[7; 300_000], &many).unwrap();
                one.say(&"second").unwrap();
            });
            let (word, parcel): (String, _) = other.hear().unwrap();
            assert_eq!((word.as_str(), parcel.bytes.len(), parcel.descriptors.len()), ("first", 300_000, 450));
            let (word, parcel): (String, _) = other.hear().unwrap();
            assert_eq!((word.as_str(), parcel.bytes.len(), parcel.descriptors.len()), ("second", 0, 0));
            sends.join()
        });
        sends.unwrap();
    }

    #[test]
    fn silence_noise_and_claims_beyond_measure_are_told_apart() {
        let (one, other) = pair();
        other.patience(Duration::from_millis(20)).unwrap();
        assert!(matches!(other.hear::<String>(), Err(CourierError::Stream(_))), "silence");
        let claims = [u32::MAX, 0, 0].map(u32::to_le_bytes);
        (&one.0).write_all(claims.as_flattened()).unwrap();
        assert!(matches!(other.hear::<String>(), Err(CourierError::TooMuch { what: "words" })));
        let (one, other) = pair();
        let head = [3u32, 0, 0].map(u32::to_le_bytes);
        (&one.0).write_all(head.as_flattened()).unwrap();
        (&one.0).write_all(b"???").unwrap();
        assert!(matches!(other.hear::<String>(), Err(CourierError::Word(_))), "noise");
        drop(one);
        assert!(matches!(other.hear::<String>(), Err(CourierError::Stream(_))), "the end");
    }
}
