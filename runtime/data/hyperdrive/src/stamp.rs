//! What tells that a file was not touched since it was last read, without reading it.
//!
//! Whoever changes a file's content, or sets its times, has the kernel set its ctime to the present time, and nobody can set it to
//! another. So a file with the same inode, size, mtime and ctime holds what it held, if the clock has moved on in between. Where
//! that cannot be relied upon there is no [`Stamp`], and the file is read:
//!
//! - on file systems that are not known to keep a ctime of their own (network ones, FAT; on tmpfs a write through a memory map
//!   leaves no trace), on another disk than the folder, on systems other than Linux;
//! - if the ctime is a whole multiple of 10 ms, as disks with coarse times have it;
//! - if the file was touched less than [`SETTLED`] before the look began: a later change might get the same time;
//! - after a start of the system, since what a power cut leaves may be new content under an old time, and after the clock was
//!   set back ([`Moment::follows`]).
//!
//! A write through a memory map sets the ctime only if its page was written back before. Before a file is read whose stamp is to be
//! kept, all is written back ([`crate::Memory::settle`]).

use std::fs::Metadata;
use std::path::Path;
use std::time::Duration;

use base::hash::blake2b;

/// How long a file must have been left alone: longer than any clock tick, and than a clock that is kept right steps back.
pub(crate) const SETTLED: Duration = Duration::from_secs(2);
/// Nanoseconds: disks that keep no finer times than this say so by the times themselves.
const COARSE: i128 = 10_000_000;

/// A file that was left alone for long enough, as it was when it was looked at: a hash over what the system says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp([u8; Self::LENGTH]);

/// When something was done: in which run of the system, and how its clock stood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment {
    /// The kernel's number for this run of the system.
    pub(crate) boot: [u8; 16],
    /// Nanoseconds since 1970 by the clock that people set.
    pub(crate) clock: i64,
    /// Nanoseconds since the system started, which nobody sets.
    pub(crate) uptime: i64,
}

/// A look at the files of one disk.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look {
    pub(crate) began: Moment,
    device: u64,
}

/// What the system says of a file.
#[derive(Debug, Clone, Copy)]
struct Facts {
    device: u64,
    inode: u64,
    size: u64,
    /// Nanoseconds since 1970.
    mtime: i128,
    /// Nanoseconds since 1970.
    ctime: i128,
}

impl Stamp {
    /// Lists hold one for each file.
    const LENGTH: usize = 16;

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Moment {
    /// Whether what was found out at `earlier` holds still: in the same run of the system, and the clock was not set back since.
    pub(crate) fn follows(&self, earlier: &Self) -> bool {
        let offset = |moment: &Self| i128::from(moment.clock) - i128::from(moment.uptime);
        self.boot == earlier.boot
            && self.uptime >= earlier.uptime
            && offset(self) > offset(earlier) - SETTLED.as_nanos() as i128
    }
}

impl Look {
    /// Begins a look at a folder; `None` where times are not to be relied upon.
    #[cfg(target_os = "linux")]
    pub(crate) fn begin(root: &Path) -> Option<Self> {
        use std::os::unix::fs::MetadataExt;

        let kind = rustix::fs::statfs(root).ok()?.f_type;
        if !KEEPS_CTIME.iter().any(|known| i128::from(*known) == kind as i128) {
            return None;
        }
        let device = std::fs::metadata(root).ok()?.dev();
        Some(Self {
            began: Moment::now()?,
            device,
        })
    }

    /// Begins a look at a folder; `None` where times are not to be relied upon.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn begin(_: &Path) -> Option<Self> {
        None
    }

    #[cfg(test)]
    pub(crate) fn at(began: Moment) -> Self {
        Self { began, device: 7 }
    }

    /// The stamp of a file whose metadata was read after the look began.
    #[cfg(target_os = "linux")]
    pub(crate) fn stamp(&self, metadata: &Metadata) -> Option<Stamp> {
        use std::os::unix::fs::MetadataExt;

        let nanoseconds = |seconds: i64, rest: i64| i128::from(seconds) * 1_000_000_000 + i128::from(rest);
        self.stamp_of(Facts {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            mtime: nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
            ctime: nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
        })
    }

    /// The stamp of a file whose metadata was read after the look began.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn stamp(&self, _: &Metadata) -> Option<Stamp> {
        None
    }

    #[cfg_attr(not(target_os = "linux"), allow(dead_code))]
    fn stamp_of(&self, facts: Facts) -> Option<Stamp> {
        let settled = facts.ctime < i128::from(self.began.clock) - SETTLED.as_nanos() as i128;
        let fine = facts.ctime % COARSE != 0;
        if facts.device != self.device || !settled || !fine {
            return None;
        }
        let numbers = [facts.device, facts.inode, facts.size].map(u64::to_le_bytes);
        let times = [facts.mtime, facts.ctime].map(i128::to_le_bytes);
        let hash = blake2b(&[numbers.as_flattened(), times.as_flattened()]);
        let mut bytes = [0; Stamp::LENGTH];
        bytes.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
        Some(Stamp(bytes))
    }
}

/// File systems of Linux whose files have a ctime as POSIX describes it, in nanoseconds, set by the kernel of this machine:
/// ext2 to ext4, XFS, Btrfs, F2FS, bcachefs, ZFS, and overlays of them (`linux/magic.h`).
#[cfg(target_os = "linux")]
const KEEPS_CTIME: [u32; 7] = [
    0xef53,
    0x5846_5342,
    0x9123_683e,
    0xf2f5_2010,
    0xca45_1a4e,
    0x2fc1_2fc1,
    0x794c_7630,
];

#[cfg(target_os = "linux")]
impl Moment {
    fn now() -> Option<Self> {
        use rustix::time::{ClockId, Timespec, clock_gettime};

        let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
        let boot = u128::from_str_radix(&digits, 16).ok()?.to_le_bytes();
        let nanoseconds = |time: Timespec| {
            Some(
                time.tv_sec
                    .checked_mul(1_000_000_000)?
                    .saturating_add(time.tv_nsec),
            )
        };
        Some(Self {
            boot,
            clock: nanoseconds(clock_gettime(ClockId::Realtime))?,
            uptime: nanoseconds(clock_gettime(ClockId::Boottime))?,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: i64 = 1_000_000_000;

    fn moment(clock: i64, uptime: i64) -> Moment {
        Moment {
            boot: [1; 16],
            clock,
            uptime,
        }
    }

    fn look(clock: i64) -> Look {
        Look {
            began: moment(clock, clock),
            device: 7,
        }
    }

    fn facts(ctime: i64) -> Facts {
        Facts {
            device: 7,
            inode: 3,
            size: 5,
            mtime: 1,
            ctime: i128::from(ctime),
        }
    }

    #[test]
    fn a_file_that_was_just_touched_has_no_stamp() {
        let now = look(100 * SECOND + 1);
        for ago in [0, 1, SECOND, 2 * SECOND] {
            assert!(now.stamp_of(facts(100 * SECOND + 1 - ago)).is_none(), "{ago}");
        }
        assert!(now.stamp_of(facts(97 * SECOND + 1)).is_some());
        // The clock was set back since, or another machine's is ahead.
        assert!(now.stamp_of(facts(3600 * SECOND + 1)).is_none());
    }

    #[test]
    fn coarse_times_and_other_disks_are_not_relied_upon() {
        let now = look(100 * SECOND);
        for ctime in [SECOND, SECOND / 2, 37 * SECOND + 120_000_000, 0] {
            assert!(now.stamp_of(facts(ctime)).is_none(), "{ctime}");
        }
        let other = Facts {
            device: 8,
            ..facts(SECOND + 1)
        };
        assert!(now.stamp_of(other).is_none());
    }

    #[test]
    fn every_field_counts() {
        let now = look(100 * SECOND);
        let base = facts(SECOND + 1);
        let stamp = now.stamp_of(base);
        assert!(stamp.is_some());
        for other in [
            Facts { inode: 4, ..base },
            Facts { size: 6, ..base },
            Facts { mtime: 2, ..base },
            Facts {
                ctime: base.ctime + 1,
                ..base
            },
        ] {
            assert_ne!(now.stamp_of(other), stamp, "{other:?}");
        }
    }

    #[test]
    fn what_was_found_before_a_start_or_a_clock_set_back_does_not_hold() {
        let earlier = moment(1000 * SECOND, 50 * SECOND);
        assert!(moment(1001 * SECOND, 51 * SECOND).follows(&earlier));
        assert!(
            moment(9000 * SECOND, 51 * SECOND).follows(&earlier),
            "set forward"
        );
        assert!(moment(1000 * SECOND, 51 * SECOND).follows(&earlier), "kept right");
        assert!(!moment(999 * SECOND, 53 * SECOND).follows(&earlier), "set back");
        assert!(!moment(1001 * SECOND, 49 * SECOND).follows(&earlier));
        let other = Moment {
            boot: [2; 16],
            ..moment(1001 * SECOND, 51 * SECOND)
        };
        assert!(!other.follows(&earlier));
    }

    #[derive(Debug, Clone, Copy)]
    enum Step {
        Wait(i64),
        /// Another content of the same size.
        Edit,
        /// The mtime is set to what it was at first.
        Restore,
        /// Someone sets the clock.
        Clock(i64),
        Look,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            1 => (0..10 * SECOND).prop_map(Step::Wait),
            3 => (0..2_000_000i64).prop_map(Step::Wait),
            3 => Just(Step::Edit),
            1 => Just(Step::Restore),
            1 => (-5 * SECOND..5 * SECOND).prop_map(Step::Clock),
            4 => Just(Step::Look),
        ]
    }

    proptest! {
        /// A file system with a clock tick, on which a file is edited and looked at: a stamp that was kept from a time at which
        /// the content was read never stands for another content, while the moments follow each other.
        #[test]
        fn a_kept_stamp_stands_for_one_content(tick in prop::sample::select(&[1i64, 1_000_000, 4_000_000, 10_000_000][..]),
            steps in prop::collection::vec(step(), 0..120)) {
            let (mut uptime, mut offset) = (1_000 * SECOND, 1_000_000 * SECOND + 1_234_567);
            let (mut content, mut file) = (0u32, facts(uptime + offset - 1));
            // The lowest that the clock stood against the uptime since each moment, which `follows` sees at the end alone.
            let mut kept: Vec<(Moment, Stamp, u32, i64)> = Vec::new();
            for step in steps {
                match step {
                    Step::Wait(time) => uptime += time,
                    Step::Clock(by) => {
                        offset += by;
                        kept.iter_mut().for_each(|(.., lowest)| *lowest = offset.min(*lowest));
                    }
                    Step::Edit => {
                        content += 1;
                        let now = (uptime + offset) / tick * tick;
                        (file.mtime, file.ctime) = (now.into(), now.into());
                    }
                    Step::Restore => (file.mtime, file.ctime) = (1, ((uptime + offset) / tick * tick).into()),
                    Step::Look => {
                        let now = Look { began: moment(uptime + offset, uptime), device: 7 };
                        let Some(stamp) = now.stamp_of(file) else { continue };
                        for (earlier, old, read, lowest) in &kept {
                            let dipped = i128::from(*lowest) <= i128::from(earlier.clock - earlier.uptime) - SETTLED.as_nanos() as i128;
                            if now.began.follows(earlier) && !dipped && *old == stamp {
                                prop_assert_eq!(*read, content);
                            }
                        }
                        kept.push((now.began, stamp, content, offset));
                    }
                }
            }
        }
    }
}
