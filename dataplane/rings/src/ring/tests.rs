//! A ring in a memory file mapped twice: once as ours, once as the kernel's.

use memmap2::{MmapOptions, MmapRaw};
use proptest::prelude::*;

use super::{BadOffsets, ConsumerRing, Entry, ProducerRing};
use crate::abi::{Desc, RingOffset};
use crate::sys;

/// Where the counters and entries lie in the tests' rings.
pub(crate) const OFFSET: RingOffset = RingOffset { producer: 0, consumer: 64, desc: 192, flags: 128 };

/// Two mappings of the same memory, long enough for `size` entries of 16 bytes.
fn mapped_twice(size: u32) -> (MmapRaw, MmapRaw) {
    let bytes = OFFSET.desc as usize + size as usize * 16;
    let file = sys::memory_file(c"podlane-test", bytes, 0).unwrap();
    let map = || MmapOptions::new().len(bytes).map_raw(&file).unwrap();
    (map(), map())
}

/// Both ends of one ring.
pub(crate) fn pair<T: Entry>(size: u32) -> (ProducerRing<T>, ConsumerRing<T>) {
    let (ours, theirs) = mapped_twice(size);
    (ProducerRing::new(ours, &OFFSET, size).unwrap(), ConsumerRing::new(theirs, &OFFSET, size).unwrap())
}

#[test]
fn entries_arrive_as_they_were_written_however_often_the_ring_goes_round() {
    let (mut near, mut far) = pair::<Desc>(4);
    for round in 0..10u64 {
        assert_eq!(near.room(4), 4);
        for ahead in 0..3 {
            near.writer().write(ahead, Desc { addr: round, len: ahead, options: 1 });
        }
        assert_eq!(far.available(4), 0, "nothing is seen before it is published");
        near.publish(3);
        assert_eq!((near.room(4), near.unconsumed()), (1, 3));
        assert_eq!(far.available(4), 3);
        for ahead in 0..3 {
            assert_eq!(far.reader().read(ahead), Desc { addr: round, len: ahead, options: 1 });
        }
        far.release(3);
    }
}

#[test]
fn a_ring_whose_offsets_leave_its_mapping_is_refused() {
    let good = OFFSET;
    let bad = [
        RingOffset { producer: 1 << 20, ..good },
        RingOffset { consumer: u64::MAX, ..good },
        RingOffset { flags: u64::MAX - 2, ..good },
        RingOffset { desc: u64::MAX - 7, ..good },
        RingOffset { desc: 1024, ..good },
        RingOffset { producer: 2, ..good },
        RingOffset { desc: 196, ..good },
        RingOffset { consumer: good.producer, ..good },
        RingOffset { flags: good.consumer, ..good },
        RingOffset { producer: good.desc + 4, ..good },
    ];
    for offset in bad {
        let (near, far) = mapped_twice(4);
        assert_eq!(ProducerRing::<Desc>::new(near, &offset, 4).err(), Some(BadOffsets), "{offset:?}");
        assert_eq!(ConsumerRing::<Desc>::new(far, &offset, 4).err(), Some(BadOffsets), "{offset:?}");
    }
    let (near, _) = mapped_twice(4);
    assert!(ProducerRing::<Desc>::new(near, &good, 4).is_ok());
}

proptest! {
    #[test]
    fn no_offsets_at_all_lead_out_of_the_mapping(producer: u64, consumer: u64, desc: u64, flags: u64, small: bool) {
        let fold = |offset| if small { offset % 300 } else { offset };
        let offset = RingOffset {
            producer: fold(producer),
            consumer: fold(consumer),
            desc: fold(desc),
            flags: fold(flags),
        };
        let (near, _) = mapped_twice(4);
        let length = near.len() as u64;
        if ProducerRing::<u64>::new(near, &offset, 4).is_ok() {
            let words = [offset.producer, offset.consumer, offset.flags];
            prop_assert!(words.iter().all(|word| word.is_multiple_of(4) && word + 4 <= length));
            prop_assert!(offset.desc.is_multiple_of(8) && offset.desc + 32 <= length);
            prop_assert!(words.iter().all(|word| word + 4 <= offset.desc || *word >= offset.desc + 32));
        }
    }
}
